// Command start is the smallest Lambda function in Go that can call AWS: it loads the SDK's configuration and starts.
// It is the reference for the function's start.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"
)

func main() {
	loaded, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	lambda.Start(func(context.Context, map[string]any) (string, error) { return loaded.Region, nil })
}
