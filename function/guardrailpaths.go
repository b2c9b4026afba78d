package main

import "strings"

// rules select the strings of a body that need no evaluation by ApplyGuardrail. The keys of the maps are paths without
// indices.
type rules struct {
	evaluated map[string]bool // by Bedrock itself
	skipped   map[string]bool // with everything below: no model reads or writes it
	opaque    map[string]bool // signed or encrypted by the model's provider, if sealed
	images    map[string]bool // if PNG or JPEG: no model reads it as text
	// media means that any string can be media in base64, because the body has a model's own format. Such a string is
	// refused unless it is one of images. Otherwise, media is in members called bytes.
	media bool
	// answer means that Bedrock chooses the names of members, except in the input of a tool.
	answer bool
	// fragments means that a string can be a part of a longer one.
	fragments bool
}

var (
	// converseRules follows the Bedrock User Guide, "Include a guardrail with the Converse API". guardSystem marks the
	// texts of system prompts.
	converseRules = rules{
		evaluated: set("messages[].content[].text", "system[].text"),
		skipped:   set("requestMetadata", "guardrailConfig", "inferenceConfig.stopSequences"),
		opaque:    set("messages[].content[].reasoningContent.reasoningText.signature", "messages[].content[].reasoningContent.redactedContent"),
		images:    set("messages[].content[].image.source.bytes"),
	}
	// invokeRules has no evaluated members, because AWS doesn't document which members of a model's own body a
	// guardrail evaluates. Without tags, its prompt-attack filter evaluates none (Bedrock User Guide, "Detect prompt
	// attacks with Amazon Bedrock Guardrails").
	invokeRules = rules{
		opaque: set("messages[].content[].signature", "messages[].content[].data", "messages[].content[].reasoningContent.reasoningText.signature", "messages[].content[].reasoningContent.redactedContent"),
		images: set(
			"messages[].content[].source.data", "messages[].content[].image.source.bytes", "messages[].content[].image_url.url", // Anthropic, Amazon Nova, OpenAI and Mistral AI
			"images[]", "inputImage", "image", "mask", "init_image", "style_image", // Llama and Cohere, Titan, Stability AI
			"inputs[].content[].image_url.url", "mediaSource.base64String", "singleEmbeddingParams.image.source.bytes", // Cohere, TwelveLabs, Amazon Nova
			"imageVariationParams.images[]", "textToImageParams.conditionImage", "colorGuidedGenerationParams.referenceImage", "backgroundRemovalParams.image", // Titan, Nova Canvas
			"inPaintingParams.image", "inPaintingParams.maskImage", "outPaintingParams.image", "outPaintingParams.maskImage",
			"virtualTryOnParams.sourceImage", "virtualTryOnParams.referenceImage",
		),
		media: true,
	}
	// answerRules apply to the responses of all operations.
	answerRules = rules{
		evaluated: set(
			"output.message.content[].text", "delta.text", // Converse, ConverseStream
			"content[].text", "content_block.text", // Anthropic
			"contentBlockDelta.delta.text",                                                         // Amazon Nova
			"results[].outputText", "outputText", "completion", "generation", "generations[].text", // Titan, Claude 2, Llama, Cohere
			"outputs[].text", "choices[].text", "choices[].message.content", "choices[].delta.content", // Mistral AI, OpenAI
		),
		skipped: set(
			"p", "trace", "usage", "metrics", "output.message.content[].toolUse.toolUseId", "start.toolUse.toolUseId",
			"id", "model", "object", "system_fingerprint", "message.id", "message.model", "content[].id", "content_block.id",
			"choices[].message.tool_calls[].id", "choices[].delta.tool_calls[].id", "amazon-bedrock-invocationMetrics",
			"contentBlockStart.start.toolUse.toolUseId", "message.usage", "service_tier", "serviceTier", "type",
			"stopReason", "stop_reason", "delta.stop_reason", "choices[].finish_reason", "generations[].finish_reason", "generations[].id",
		),
		opaque: set(
			"output.message.content[].reasoningContent.reasoningText.signature", "output.message.content[].reasoningContent.redactedContent",
			"delta.reasoningContent.signature", "delta.reasoningContent.redactedContent",
			"content[].signature", "content[].data", "content_block.data", "content_block.signature", "delta.signature",
		),
		images: set("output.message.content[].image.source.bytes", "images[]", "artifacts[].base64"), // Converse, Titan and Stability AI
		media:  true, answer: true,
	}
	// eventRules apply to the events of streams.
	eventRules = rules{evaluated: answerRules.evaluated, skipped: answerRules.skipped, opaque: answerRules.opaque, answer: true, fragments: true}

	// documentFormats are the paths of a document's format. Formats other than plain text can hide text from a
	// guardrail.
	documentFormats = set("messages[].content[].document.format", "messages[].content[].toolResult.content[].document.format")
	plainFormats    = set("txt", "md", "csv")

	// free lists JSON in a tool's own format. A model reads or writes every string in it as text.
	free = set(
		"toolConfig", "messages[].content[].toolUse.input", "messages[].content[].toolResult.content[].json",
		"tools", "messages[].content[].input", "output.message.content[].toolUse.input", "content[].input", "content_block.input",
	)
	// inputs are the names of members of responses that contain a tool's input, at any path.
	inputs = set("input", "parameters", "arguments")
	// imageSource are the members that declare whether the data beside them is an image or a text.
	imageSource = map[string]map[string]bool{sourcePath + ".type": set("base64"), sourcePath + ".media_type": set("image/png", "image/jpeg")}
	// texts are the names of members that are always text in models' own bodies.
	texts = set("text", "content", "prompt", "inputText", "system", "texts", "thinking", "arguments")

	// tools are the members that ALLOW_UNEVALUATED_TOOLS excludes, in requests, responses and streams.
	tools = set(
		"toolConfig", "messages[].content[].toolUse", "messages[].content[].toolResult",
		"tools", "tool_choice", "messages[].tool_calls", "messages[].tool_call_id", "messages[].content[].id", "messages[].content[].name",
		"messages[].content[].input", "messages[].content[].tool_use_id", "messages[].content[].content",
		"output.message.content[].toolUse", "start.toolUse", "delta.toolUse",
		"content[].name", "content[].input", "content_block.name", "content_block.input", "delta.partial_json",
		"choices[].message.tool_calls", "choices[].delta.tool_calls", "contentBlockStart.start.toolUse", "contentBlockDelta.delta.toolUse",
	)

	// opened are the paths whose members and elements each have a part and a name in errors.
	opened = set(
		"", "messages", "messages[]", "messages[].content", "messages[].content[]", "system", "system[]", "toolConfig", "toolConfig.tools", "tools",
		"output", "output.message", "output.message.content", "output.message.content[]", "content", "content[]", "start", "delta", "content_block",
		"choices", "choices[]", "choices[].message", "choices[].delta",
	)

	// vocabulary lists words of the APIs and of JSON Schema, as members or values. They convey no text of a caller or
	// model, and without this list they would be most of what is evaluated in a small call.
	vocabulary = set(strings.Fields(`
		messages message role user assistant system content text toolConfig tools tool toolSpec toolChoice toolUse toolUseId toolResult status success error
		input inputSchema json name description type object string number integer boolean array null properties required items enum
		additionalProperties format default auto any none inferenceConfig maxTokens temperature topP stopSequences requestMetadata guardrailConfig
		additionalModelRequestFields additionalModelResponseFieldPaths performanceConfig latency standard optimized serviceTier priority flex reserved
		cachePoint ttl 5m 1h image document source bytes png jpeg txt md csv citations enabled reasoningContent reasoningText signature redactedContent
		tool_use tool_result tool_use_id tool_choice tool_calls tool_call_id function arguments input_schema cache_control ephemeral id index model
		thinking redacted_thinking data base64 media_type image/png image/jpeg max_tokens temperature top_p top_k stop_sequences anthropic_version
		bedrock-2023-05-31 anthropic_beta stream metadata prompt inputText textGenerationConfig
		output stopReason stop_reason stop_sequence finish_reason end_turn max_tokens tool_calls stop length content_filter guardrail_intervened
		content_filtered usage metrics trace start delta contentBlockIndex contentBlockStart contentBlockDelta contentBlockStop messageStart messageStop
		content_block content_block_start content_block_delta content_block_stop message_start message_delta message_stop text_delta input_json_delta
		partial_json thinking_delta signature_delta choices created chat.completion chat.completion.chunk embedding embeddings inputTextTokenCount results
		outputText tokenCount completionReason completion generation generations outputs prompt_token_count generation_token_count
		ping amazon-bedrock-guardrailAction NONE INTERVENED FINISH LENGTH inputTokens outputTokens totalTokens latencyMs input_tokens output_tokens`)...)
)

// sourcePath is the path of an image or a document in Anthropic's format.
const sourcePath = "messages[].content[].source"

func set(of ...string) map[string]bool {
	m := map[string]bool{}
	for _, each := range of {
		m[each] = true
	}
	return m
}
