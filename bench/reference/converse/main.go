// Command converse is a Lambda function in Go that only calls the SDK's Converse, or ConverseStream if
// RESPONSE_STREAMING is true, and returns the response. It is the reference for calls of the function.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/private-bedrock/private-bedrock/internal/contract"
)

func main() {
	loaded, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	f := function{bedrockruntime.NewFromConfig(loaded), os.Getenv(contract.EnvModelIDs)}
	if os.Getenv(contract.EnvResponseStreaming) == "true" {
		lambda.Start(f.stream)
	}
	lambda.Start(f.answer)
}

type function struct {
	bedrock *bedrockruntime.Client
	model   string
}

func (f function) answer(ctx context.Context, _ json.RawMessage) (events.APIGatewayProxyResponse, error) {
	out, err := f.bedrock.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: &f.model, Messages: hello(), InferenceConfig: limit()})
	if err != nil {
		return events.APIGatewayProxyResponse{}, err
	}
	body, err := json.Marshal(out.Output)
	return events.APIGatewayProxyResponse{StatusCode: 200, Body: string(body)}, err
}

func (f function) stream(ctx context.Context, _ json.RawMessage) (*events.APIGatewayProxyStreamingResponse, error) {
	out, err := f.bedrock.ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{ModelId: &f.model, Messages: hello(), InferenceConfig: limit()})
	if err != nil {
		return nil, err
	}
	body, w := io.Pipe()
	go func() {
		defer out.GetStream().Close()
		for event := range out.GetStream().Events() {
			if err := json.NewEncoder(w).Encode(event); err != nil {
				break
			}
		}
		w.CloseWithError(out.GetStream().Err())
	}()
	return &events.APIGatewayProxyStreamingResponse{StatusCode: 200, Body: body}, nil
}

func hello() []types.Message {
	return []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: "Hello"}}}}
}

func limit() *types.InferenceConfiguration {
	return &types.InferenceConfiguration{MaxTokens: aws.Int32(100)}
}
