package main

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

// inContent returns bodies of Converse with a block in a message and in a tool's result.
func inContent(block string) []string {
	return []string{
		`{"messages":[{"role":"user","content":[{"text":"x"},` + block + `]}]}`,
		`{"messages":[{"role":"user","content":[{"toolResult":{"toolUseId":"1","content":[` + block + `]}}]}]}`,
	}
}

// Data that the record wouldn't contain is refused: S3 addresses, audio, unknown kinds of data. Service tiers that
// aren't allowed are refused too.
func TestUnloggedDataIsRefused(t *testing.T) {
	t.Parallel()
	const converse, invoke = "converse", "invoke"
	const address = `{"uri":"s3://` + canary + `/x","bucketOwner":"1"}`
	for name, tt := range map[string]struct{ operation, body, want string }{
		"image in S3":                  {converse, inContent(`{"image":{"format":"png","source":{"s3Location":` + address + `}}}`)[0], "messages[0].content[1].image.source.s3Location: "},
		"a tool's video in S3":         {converse, inContent(`{"video":{"format":"mp4","source":{"s3Location":` + address + `}}}`)[1], "messages[0].content[0].toolResult.content[0].video.source.s3Location: "},
		"a second, spelled otherwise":  {converse, inContent(`{"document":{"format":"pdf","name":"d","source":{"bytes":"aGk=","S3\u004cocation":` + address + `}}}`)[0], "document.source.S3Location: "},
		"twice, the first harmless":    {converse, `{"messages":[],"messages":[{"content":[{"image":{"source":{"s3Location":null,"s3Location":` + address + `}}}]}]}`, "source.s3Location: "},
		"S3 beside Converse's members": {converse, `{"additionalModelRequestFields":{"mediaSource":{"s3Location":` + address + `}}}`, "additionalModelRequestFields.mediaSource.s3Location: "},
		"S3 of a model":                {invoke, `{"inputType":"video","mediaSource":{"s3Location":` + address + `}}`, "mediaSource.s3Location: "},
		"S3, as models may spell it":   {invoke, `{"media":{"s3Uri":"x"}}`, "media.s3Uri: "},
		"S3 as a URL":                  {invoke, `{"messages":[{"content":[{"type":"image_url","image_url":{"url":" \u00533://` + canary + `/x"}}]}]}`, "messages[0].content[0].image_url.url: "},

		"audio":                     {converse, inContent(`{"audio":{"format":"mp3","source":{"bytes":"aGk="}}}`)[0], "messages[0].content[1].audio: "},
		"a tool's audio":            {converse, inContent(`{"audio":{"format":"mp3","source":{"bytes":"aGk="}}}`)[1], "toolResult.content[0].audio: "},
		"audio, spelled otherwise":  {converse, inContent(`{"\u0041udio":{"source":{"bytes":"aGk="}}}`)[0], "content[1].Audio: "},
		"audio in lists":            {converse, `{"messages":[{"content":[[{"audio":{}}]]}]}`, "content[0][0].audio: "},
		"an answer of audio":        {converse, `{"additionalModelRequestFields":{"modalities":["text","audio"]}}`, "modalities[1]: "},
		"input_audio":               {invoke, `{"messages":[{"content":[{"type":"text","text":"x"},{"type":"input_audio","input_audio":{"data":"aGk=","format":"wav"}}]}]}`, "messages[0].content[1].type: "},
		"input_audio without type":  {invoke, `{"messages":[{"content":[{"input_audio":{"data":"aGk="}}]}]}`, "content[0].input_audio: "},
		"audio of an embedding":     {invoke, `{"singleEmbeddingParams":{"audio":{"format":"mp3","source":{"bytes":"aGk="}}}}`, "singleEmbeddingParams.audio: "},
		"audio by its input type":   {invoke, `{"inputType":"AUDIO","mediaSource":{"base64String":"aGk="}}`, "inputType: "},
		"audio of a speech model":   {invoke, `{"audio_input":"aGk=","task":"transcribe"}`, "audio_input: "},
		"audio by its media type":   {invoke, `{"messages":[{"content":[{"type":"document","source":{"type":"base64","media_type":"audio/mpeg","data":"aGk="}}]}]}`, "source.media_type: "},
		"audio as a data URL":       {invoke, `{"file":"data:audio/mpeg;base64,aGk="}`, "file: "},
		"audio behind a space":      {invoke, `{"url":" data:audio/wav;` + strings.Repeat("x", 130) + `;base64,aGk="}`, "url: "},
		"WAV under another name":    {invoke, `{"mediaSource":{"base64String":"UklGRiQAAABXQVZFZm10IBAAAAA="}}`, "mediaSource.base64String: "},
		"MP3 under another name":    {invoke, `{"file_data":"SUQzBAAAAAAAI1RTU0UAAAA="}`, "file_data: "},
		"audio in a list of input":  {invoke, `{"messages":[{"content":[{"input":[{"type":"input_audio","data":"aGk="}]}]}]}`, "content[0].input[0].type: "},
		"S3 behind much space":      {invoke, `{"url":"` + strings.Repeat(" ", 130) + `s3://` + canary + `/x"}`, "url: "},
		"S3 as a reference":         {invoke, `{"videoRef":"s3://` + canary + `/x"}`, "videoRef: "},
		"a kind of tomorrow's":      {converse, inContent(`{"hologram":{"format":"h","source":{"bytes":"aGk="}}}`)[0], "content[1].hologram: "},
		"a kind, spelled otherwise": {converse, inContent(`{"Image":{"format":"png","source":{"bytes":"aGk="}}}`)[1], "content[0].Image: "},
		"a kind in a system prompt": {converse, `{"system":[{"hologram":{}}]}`, "system[0].hologram: "},
		"a model's kind":            {invoke, `{"messages":[{"content":[{"hologram":{"source":{"bytes":"aGk="}}}]}]}`, "hologram.source.bytes: "},
		"a media type of tomorrow":  {invoke, `{"messages":[{"content":[{"source":{"mediaType":"model/gltf","data":"aGk="}}]}]}`, "source.mediaType: "},

		"tier":                    {converse, `{"serviceTier":{"type":"priority"}}`, `serviceTier.type: got "priority", must be default or absent`},
		"tier, spelled otherwise": {converse, `{"Service\u0054ier":{"TYPE":"flex"}}`, `ServiceTier.TYPE: got "flex", must be default`},
		"tier, twice":             {converse, `{"serviceTier":{"type":"default","type":"priority"}}`, `got "priority"`},
		"tier, in a list":         {converse, `{"serviceTier":["default"]}`, `serviceTier: got a value that isn't a string`},
		"tier of the model":       {converse, `{"additionalModelRequestFields":{"service_tier":"priority"}}`, `additionalModelRequestFields.service_tier: got "priority"`},
		"tier of a model's body":  {invoke, `{"service_tier":"auto"}`, `service_tier: got "auto", must be default`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, stream := range []string{"", map[string]string{converse: "-stream", invoke: "-with-response-stream"}[tt.operation]} {
				f := newFixture(t)
				f.logging = logs(t, `{"loggingConfig":{"s3Config":{"bucketName":"b"}}}`)
				response, _ := f.call(t, native(tt.operation+stream, tt.body))
				if body := strings.ReplaceAll(response.Body, `\"`, `"`); response.StatusCode != 400 || !strings.Contains(body, tt.want) || len(f.records) > 0 {
					t.Errorf("%d %s, want 400 and %s", response.StatusCode, response.Body, tt.want)
				}
			}
		})
	}
}

// Data that the log contains is accepted: texts about S3 and audio, tools with such words, and audio if it is logged.
func TestLoggedDataIsAccepted(t *testing.T) {
	t.Parallel()
	const audio = `{"loggingConfig":{"s3Config":{"bucketName":"b"},"audioDataDeliveryEnabled":true}}`
	const plain = `{"loggingConfig":{"s3Config":{"bucketName":"b"}}}`
	for _, tt := range []struct{ config, operation, body string }{
		{plain, "converse", inContent(`{"text":"s3://bucket/audio is s3Location, data:audio/mpeg;base64,"}`)[0]},
		{plain, "converse", inContent(`{"image":{"format":"png","source":{"bytes":"aGk="}}}`)[0]},
		{plain, "converse", inContent(`{"document":{"format":"txt","name":"d","source":{"content":[{"text":"x"}]}}}`)[1]},
		{plain, "converse", inContent(`{"searchResult":{"source":"https://example.com","title":"t","content":[{"text":"x"}],"citations":{"enabled":true}}}`)[0]},
		{plain, "converse", inContent(`{"json":{"audio":true,"type":"audio","url":"s3://b/x","source":{"bytes":1},"content":[{"other":1}]}}`)[1]},
		{plain, "converse", `{"messages":[{"content":[{"toolUse":{"toolUseId":"1","name":"t","input":{"audio":1,"uri":"s3://b/x"}}}]}],
			"toolConfig":{"tools":[{"toolSpec":{"name":"t","inputSchema":{"json":{"properties":{"audio":{"type":"string"},"source":{"type":"string"}}}}}}]},
			"requestMetadata":{"audioTeam":"x"},"serviceTier":{"type":"default"}}`},
		{plain, "invoke", `{"messages":[{"content":[{"type":"text","text":"s3://b/x"},{"type":"tool_use","id":"1","name":"t","input":{"audio":1,"uri":"s3://b/x"}},
			{"type":"image","source":{"type":"base64","media_type":"image/png","data":"aGk="}}]}],"tools":[{"name":"t","input_schema":{"properties":{"audio":{}}}}],"service_tier":"default"}`},
		{plain, "invoke", `{"tools":[{"type":"function","function":{"name":"t","parameters":{"properties":{"audio_url":{"type":"string"}}}}}],"prompt":"x"}`},
		{plain, "invoke", `{"image_url":{"url":"data:image/png;base64,aGk="},"inputText":"s3://b/x"}`},
		{plain, "converse", `{"messages":[{"content":[{"toolUse":{"input":{"s3Location":{"uri":"s3://b/x"}}}}]}]}`},
		{plain, "converse", inContent(`{"json":{"s3Location":{"uri":"x"}}}`)[1]},
		{plain, "invoke", `{"tools":[{"name":"t","input_schema":{"properties":{"s3Location":{"type":"string"}}}}]}`},
		{plain, "invoke", `{"functions":[{"name":"t","parameters":{"properties":{"audio":{}}}}],"service_tier":null}`},
		{plain, "invoke", `{"output_format":{"type":"json_schema","schema":{"properties":{"audio":{}}}},"chat_history":[{"tool_calls":[{"name":"f","parameters":{"audio":"x"}}]}]}`},
		{plain, "converse", inContent(`{"searchResult":{"source":"s3://kb/doc.txt","title":"t","content":[{"text":"x"}]}}`)[0]},
		{plain, "converse", inContent(`{"citationsContent":{"content":[{"text":"x"}],"citations":[{"source":"s3://a/b"}]}}`)[0]},
		{plain, "invoke", `{"messages":[{"content":[{"type":"search_result","source":"s3://kb/doc.txt","content":[{"type":"text","text":"x"}]}]}]}`},
		{audio, "converse", inContent(`{"audio":{"format":"mp3","source":{"bytes":"aGk="}}}`)[0]},
		{audio, "invoke", `{"messages":[{"content":[{"type":"input_audio","input_audio":{"data":"aGk=","format":"wav"}}]}]}`},
	} {
		f := newFixture(t)
		f.logging = logs(t, tt.config)
		b, calls := taking(t, nil, `{}`)
		f.bedrock = b
		if response, _ := f.call(t, native(tt.operation, tt.body)); response.StatusCode != 200 || len(calls) != 1 {
			t.Errorf("%s: %d %s", tt.body, response.StatusCode, response.Body)
		}
	}
}

// The header for the service tier is checked.
func TestServiceTierHeader(t *testing.T) {
	t.Parallel()
	for tier, want := range map[string]int{"": 200, "default": 200, "flex": 200, "priority": 400, "Flex": 400, "default,priority": 400} {
		for _, operation := range []string{"converse", "converse-stream", "invoke", "invoke-with-response-stream"} {
			f := newFixture(t)
			f.tiers = []string{"default", "flex"}
			f.bedrock, _ = taking(t, nil, `{}`)
			r := native(operation, `{"prompt":"x"}`)
			r.Headers = maps.Clone(r.Headers)
			r.Headers["x-amzn-BEDROCK-service-tier"] = tier
			response, _ := f.call(t, r)
			if response.StatusCode != want || want == 400 && !strings.Contains(response.Body, "must be default, flex or absent") {
				t.Errorf("%s by %s: %d %s", tier, operation, response.StatusCode, response.Body)
			}
		}
	}
}

// More metadata than Bedrock accepts is refused with a reason, even a million entries.
func TestMetadataEntriesAreLimited(t *testing.T) {
	t.Parallel()
	entries := func(n int) string {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprintf(`"k%d":"v"`, i)
		}
		return "{" + strings.Join(all, ",") + "}"
	}
	for _, tt := range []struct {
		caller string
		given  string
		want   string // the error, or "" if the call is accepted
	}{
		{"", entries(13), ""}, {"", entries(14), "more than 13 entries"}, {"", entries(17), "more than 13 entries"}, {"", entries(90_000), "more than 13 entries"},
		{"arn:aws:iam::123456789012:user/app", entries(12), ""}, {"arn:aws:iam::123456789012:user/app", entries(13), "more than 12 entries, which is the maximum: Bedrock accepts 16"},
	} {
		for _, operation := range []string{"converse", "invoke"} {
			f := newFixture(t)
			f.bedrock, _ = taking(t, nil, `{}`)
			r := native(operation, `{"requestMetadata":`+tt.given+`}`)
			if operation == "invoke" {
				r = native(operation, `{}`)
				r.Headers = maps.Clone(r.Headers)
				r.Headers[metadataHeader] = tt.given
			}
			r.RequestContext.Identity.SourceIP, r.RequestContext.Identity.VpceID, r.RequestContext.Identity.UserARN = "10.0.0.1", "vpce-1", tt.caller
			response, _ := f.call(t, r)
			if (response.StatusCode == 200) != (tt.want == "") || !strings.Contains(response.Body, tt.want) {
				t.Errorf("%s by %q with %.99s: %d %s, want %q", operation, tt.caller, tt.given, response.StatusCode, response.Body, tt.want)
			}
		}
	}
}

// A model can be called by its ARN, but not by an ARN of another account, Region or partition.
func TestModelsByARN(t *testing.T) {
	t.Parallel()
	ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{InvokedFunctionArn: "arn:aws:lambda:eu-west-1:123456789012:function:f"})
	for arn, want := range map[string]string{
		"arn:aws:bedrock:eu-west-1::foundation-model/" + firstModel:               firstModel,
		"arn:aws:bedrock:eu-west-1:123456789012:inference-profile/" + secondModel: secondModel,
		"arn:aws:bedrock:us-east-1::foundation-model/" + firstModel:               "",
		"arn:aws-cn:bedrock:eu-west-1::foundation-model/" + firstModel:            "",
		"arn:aws:bedrock:eu-west-1:123456789012:foundation-model/" + firstModel:   "",
		"arn:aws:bedrock:eu-west-1:999999999999:inference-profile/" + secondModel: "",
		"arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-pro-v1:0":        "",
		"arn:aws:bedrock:eu-west-1::foundation-model/" + firstModel + "/../x":     "",
		"arn:aws:bedrock:eu-west-1:123456789012:prompt/" + firstModel:             "",
		" arn:aws:bedrock:eu-west-1::foundation-model/" + firstModel:              "",
	} {
		for _, r := range []request{native("converse", hello), post(`{"prompt":"x","model":"` + arn + `"}`)} {
			f := newFixture(t)
			if r.PathParameters["modelId"] != "" {
				r.PathParameters = map[string]string{"modelId": strings.NewReplacer(":", "%3A", "/", "%2F").Replace(arn)}
			}
			for _, ctx := range []context.Context{ctx, t.Context()} {
				response := f.roundTrip(ctx, t, r)
				if ok := want != "" && ctx != t.Context(); (response.StatusCode == 200) != ok {
					t.Errorf("%s: %v", arn, response)
				}
			}
			if want == "" {
				continue
			}
			if id := f.record(t).ModelID; id != want && !strings.HasSuffix(id, "/"+want) || !strings.Contains(f.logged.String(), `"ModelId":"`+want+`"`) {
				t.Errorf("%s: asked %s; log %s", arn, id, f.logged)
			}
		}
	}
}

// Each body is checked in time proportional to its length. The test isn't parallel, because it measures the CPU time of
// the process.
func TestHostileBodiesAreCheap(t *testing.T) {
	const size = 6 << 20
	fill := func(head, piece, tail string) string {
		return head + strings.Repeat(piece, (size-len(head)-len(tail))/len(piece)) + tail
	}
	numbered := func(head, piece, tail string) string {
		var b strings.Builder
		b.WriteString(head)
		for i := 0; b.Len() < size-len(tail)-len(piece)-20; i++ {
			fmt.Fprintf(&b, piece, i)
		}
		return strings.TrimSuffix(b.String(), ",") + tail
	}
	bodies := map[string]string{
		"arrays in each other":      strings.Repeat("[", size),
		"objects in each other":     fill("", `{"a":`, ""),
		"200 deep":                  `{"a":` + strings.Repeat("[", 199) + strings.Repeat(" ", size) + strings.Repeat("]", 199) + `}`,
		"members":                   numbered("{", `"k%d":1,`, "}"),
		"equal members":             fill(`{"a":1`, `,"a":1`, "}"),
		"members of messages":       fill(`{"messages":[]`, `,"messages":[]`, "}"),
		"metadata":                  numbered(`{"requestMetadata":{`, `"k%d":"v",`, "}}"),
		"metadata, many times":      fill(`{"a":1`, `,"requestMetadata":{"k":"v"}`, "}"),
		"metadata within the bound": numbered(`{"requestMetadata":{`, `"`+strings.Repeat("k", 80)+`%d":"v",`, "}}"),
		"blocks":                    fill(`{"messages":[{"role":"user","content":[{"text":"x"}`, `,{"text":"x"}`, `]}]}`),
		"system blocks":             fill(`{"system":[{"text":"x"}`, `,{"text":"x"}`, `]}`),
		"blocks within the bound":   fill(`{"messages":[{"role":"user","content":[{"text":"x"}`, `,{"text":"`+strings.Repeat("x", 130)+`"}`, `]}]}`),
		"numbers":                   fill(`{"a":[1`, `,1`, `]}`),
		"a long number":             fill(`{"a":`, `9`, `}`),
		"a long exponent":           fill(`{"temperature":1e`, `9`, `}`),
		"a long text":               fill(`{"prompt":"`, `x`, `"}`),
		"escapes":                   fill(`{"messages":[{"role":"user","content":[{"text":"`, `\u0041`, `"}]}]}`),
		"a name of escapes":         fill(`{"`, `\u0041`, `":1}`),
		"an unended text":           fill(`{"prompt":"`, `\"`, ``),
		"quotes":                    fill(``, `"`, ``),
		"commas":                    fill(``, `,`, ``),
		"white space":               fill(`{"prompt":"x"`, ` `, `}`),
		"ends":                      fill(``, `]`, ``),
		"bytes that are no text":    fill(`{"prompt":"`, "\xff", `"}`),
		"a long name of many items": `{"` + strings.Repeat("a", size-250_000) + `":[0` + strings.Repeat(",0", 99_000) + `]}`,
		"names to compare":          fill(`{"a":1`, `,"`+strings.Repeat("s3locatio", 9)+`":"data:audi"`, `}`),
		"data URLs":                 fill(`{"a":["data:x"`, `,"data:image/`+strings.Repeat("x", 99)+`"`, `]}`),
	}
	for name, body := range bodies {
		for _, r := range []request{native("converse", body), native("invoke", body), post(body[:min(len(body), maxBodyBytes)])} {
			cheap(t, name+", "+r.Resource, func() {
				f := newFixture(t)
				f.logging = logs(t, `{"loggingConfig":{"s3Config":{"bucketName":"b"}}}`)
				f.guardrail, _ = newGuardrail("3o06191495ze", "2")
				f.bedrock.http = doFunc(nil) // a body that passes the checks ends in a panic, which has a response
				f.handle(t.Context(), r)
			})
		}
	}
}

// A body that is too deep or has too many members is refused with a reason.
func TestBodiesAreBounded(t *testing.T) {
	t.Parallel()
	nested := func(n int) string { return `{"a":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + `}` }
	for name, tt := range map[string]struct{ body, want string }{
		"200 deep":   {nested(200), ""},
		"201 deep":   {nested(201), "more than 200"},
		"2000 texts": {`{"a":"` + strings.Repeat("[", 2000) + `"}`, ""},
		"too many":   {`{"a":[` + strings.Repeat("1,", maxMembers) + `1]}`, "more than 100000 members and items"},
		"many":       {`{"a":[` + strings.Repeat("1,", maxMembers-2) + `1]}`, ""},
		"no object":  {`[1]`, "no JSON object"},
		"cut":        {`{"a":`, "no JSON object"},
		"empty":      {``, "no JSON object"},
	} {
		for _, operation := range []string{"converse", "invoke"} {
			f := newFixture(t)
			f.bedrock, _ = taking(t, nil, `{}`)
			response, _ := f.call(t, native(operation, tt.body))
			if (response.StatusCode == 200) != (tt.want == "") || !strings.Contains(response.Body, tt.want) {
				t.Errorf("%s, %s: %d %.300s, want %q", name, operation, response.StatusCode, response.Body, tt.want)
			}
		}
	}
	for body, want := range map[string]string{nested(201): "more than 200", `{"stop":["` + strings.Repeat(`","`, maxMembers) + `"]}`: "more than 100000 members"} {
		f := newFixture(t)
		if response, p := f.call(t, post(body)); response.StatusCode != 400 || !strings.Contains(p.Error.Message, want) {
			t.Errorf("/generate: %d %s, want %q", response.StatusCode, response.Body, want)
		}
	}
}
