// Package bedrocktest reads and writes for tests what the clients of Bedrock have of it.
package bedrocktest

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

// Says is a message of the user.
func Says(text string) []types.Message {
	return []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: text}}}}
}

// Chunks of a stream, in one line each.
func Chunks(stream *bedrockruntime.InvokeModelWithResponseStreamEventStream) (all []string) {
	for e := range stream.Events() {
		c, _ := e.(*types.ResponseStreamMemberChunk)
		all = append(all, string(c.Value.Bytes))
	}
	return all
}

// ToolNamed is a tool with a description and with a schema of a title.
func ToolNamed(name, description, title string) *types.ToolConfiguration {
	return &types.ToolConfiguration{Tools: []types.Tool{&types.ToolMemberToolSpec{Value: types.ToolSpecification{
		Name: &name, Description: &description,
		InputSchema: &types.ToolInputSchemaMemberJson{Value: document.NewLazyDocument(map[string]string{"title": title})},
	}}}}
}

// WholeSaid is what an answer says: its text, its tools' names and inputs, and why it ended.
func WholeSaid(t *testing.T, out *bedrockruntime.ConverseOutput) (said string) {
	t.Helper()
	for _, block := range out.Output.(*types.ConverseOutputMemberMessage).Value.Content {
		switch b := block.(type) {
		case *types.ContentBlockMemberText:
			said += b.Value
		case *types.ContentBlockMemberToolUse:
			input, err := b.Value.Input.MarshalSmithyDocument()
			if err != nil {
				t.Fatal(err)
			}
			said += "|" + *b.Value.Name + string(input)
		}
	}
	return said + "|" + string(out.StopReason)
}

// StreamSaid is the same of a stream, and pieces are those of the inputs.
func StreamSaid(stream *bedrockruntime.ConverseStreamEventStream) (said string, pieces []string) {
	for e := range stream.Events() {
		switch e := e.(type) {
		case *types.ConverseStreamOutputMemberContentBlockStart:
			said += "|" + *e.Value.Start.(*types.ContentBlockStartMemberToolUse).Value.Name
		case *types.ConverseStreamOutputMemberContentBlockDelta:
			switch delta := e.Value.Delta.(type) {
			case *types.ContentBlockDeltaMemberText:
				said += delta.Value
			case *types.ContentBlockDeltaMemberToolUse:
				said, pieces = said+*delta.Value.Input, append(pieces, *delta.Value.Input)
			}
		case *types.ConverseStreamOutputMemberMessageStop:
			said += "|" + string(e.Value.StopReason)
		}
	}
	return said, pieces
}
