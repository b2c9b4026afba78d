package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/private-bedrock/private-bedrock/internal/contract"
)

// nativeOperation returns the operation of Bedrock Runtime that a route serves: the last part of its path.
func nativeOperation(resource string) (operation string, found bool) {
	return strings.CutPrefix(resource, "/model/{modelId}/")
}

// native forwards a call of Bedrock's own API, and returns the response unchanged. The function sets the metadata that
// names the caller, and the guardrail. A caller can't set, weaken or remove either.
func (h handler) native(ctx context.Context, r request, c *call) (response, error) {
	operation, _ := nativeOperation(r.Resource)
	model, err := url.PathUnescape(r.PathParameters["modelId"])
	if err != nil {
		model = "" // never on the list
	}
	if model, err = h.admit(ctx, model, c); err != nil {
		return response{}, err
	}
	body, err := r.body()
	if err != nil {
		return response{}, err
	}
	rules := bodyRules{converse: strings.HasPrefix(operation, "converse"), audio: h.logging.keepsAudio(), tiers: h.tiers}
	if err := checkBody(body, rules); err != nil {
		return response{}, err
	}
	headers, err := nativeHeaders(r.Headers)
	if err != nil {
		return response{}, err
	}
	if tier := headers.Get(tierHeader); tier != "" && !slices.Contains(h.tiers, tier) {
		return response{}, errTier(tierHeader, fmt.Sprintf("%q", short(tier)), h.tiers)
	}
	if h.guardrail == nil && header(r.Headers, guardrailHeader) != "" {
		return response{}, errNoGuardrail
	}
	if err := h.evaluateRequest(ctx, operation, body); err != nil {
		return response{}, err
	}
	if strings.HasPrefix(operation, "converse") {
		headers.Del(metadataHeader) // it is in the body
		body, err = converseBody(body, r.metadata(), h.guardrail)
	} else {
		body, err = invokeBody(body, headers, r.metadata(), h.guardrail)
	}
	if err != nil {
		return response{}, err
	}
	answered, err := h.bedrock.invoke(ctx, model, operation, headers, body)
	if err != nil {
		return response{}, err
	}
	back := map[string]string{"Content-Type": answered.Header.Get("Content-Type"), "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
	for name := range answered.Header {
		if strings.HasPrefix(name, "X-Amzn-Bedrock-") {
			back[name] = answered.Header.Get(name)
		}
	}
	if strings.HasSuffix(operation, "-stream") {
		return response{http.StatusOK, back, &forwardedStream{upstream: h.guardStream(ctx, answered.Body), c: c}}, nil
	}
	defer answered.Body.Close()
	whole, err := io.ReadAll(answered.Body)
	if err != nil {
		return response{}, err
	}
	c.countWhole(answered.Header, whole)
	if err := h.evaluateAnswer(ctx, whole); err != nil {
		return response{}, err
	}
	return response{http.StatusOK, back, io.NopCloser(bytes.NewReader(whole))}, nil
}

// callersHeaders are the headers that a caller can set (Bedrock API Reference, InvokeModel and
// InvokeModelWithResponseStream). Only the function sets the guardrail and the trace. It signs requests itself, and
// never forwards credentials.
var callersHeaders = set("Content-Type", "Accept", "X-Amzn-Bedrock-Accept", "X-Amzn-Bedrock-Performanceconfig-Latency", "X-Amzn-Bedrock-Service-Tier", metadataHeader)

func nativeHeaders(from map[string]string) (http.Header, error) {
	headers := http.Header{}
	for name, value := range from {
		name = http.CanonicalHeaderKey(name)
		if callersHeaders[name] {
			headers.Set(name, value)
		}
	}
	// A browser sends these content types from a page of another site without a preflight request (CORS), with the
	// page's Origin. SDKs send no content type with InvokeModel.
	mediaType, _, _ := strings.Cut(headers.Get("Content-Type"), ";")
	switch strings.ToLower(strings.TrimSpace(mediaType)) {
	case "":
		if header(from, "Origin") == "" {
			return headers, nil
		}
	case "text/plain", "multipart/form-data", "application/x-www-form-urlencoded":
	default:
		return headers, nil
	}
	return nil, apiError{http.StatusUnsupportedMediaType, "UnsupportedMediaType", "send the header Content-Type: application/json"}
}

// converseBody returns the body of Converse and ConverseStream with the function's metadata and guardrail in place of
// the caller's.
func converseBody(body []byte, metadata map[string]string, guardrail *types.GuardrailConfiguration) ([]byte, error) {
	members, err := readObject(body)
	if err != nil {
		return nil, err
	}
	kept := []member{}
	for _, m := range members {
		switch {
		case strings.EqualFold(m.key, "requestMetadata"):
			if err := addMetadata(metadata, m.value); err != nil {
				return nil, err
			}
			continue
		case strings.EqualFold(m.key, "guardrailConfig") && guardrail == nil:
			return nil, errNoGuardrail
		case strings.EqualFold(m.key, "guardrailConfig"):
			continue
		case strings.EqualFold(m.key, "additionalModelRequestFields"):
			m.value = withoutGuardrail(m.value)
		case guardrail == nil:
		case m.key == "system":
			if m.value, err = guardSystem(m.value); err != nil {
				return nil, err
			}
		}
		kept = append(kept, m)
	}
	kept = append(kept, member{"requestMetadata", marshal(withoutEmpty(metadata))})
	if guardrail != nil {
		kept = append(kept, member{"guardrailConfig", marshal(map[string]*string{
			"guardrailIdentifier": guardrail.GuardrailIdentifier, "guardrailVersion": guardrail.GuardrailVersion,
		})})
	}
	return writeObject(kept), nil
}

// These are headers of InvokeModel and InvokeModelWithResponseStream (Bedrock API Reference).
const (
	metadataHeader         = "X-Amzn-Bedrock-Request-Metadata"
	guardrailHeader        = "X-Amzn-Bedrock-Guardrailidentifier"
	guardrailVersionHeader = "X-Amzn-Bedrock-Guardrailversion"
	tierHeader             = "X-Amzn-Bedrock-Service-Tier"
)

// invokeBody returns the body of InvokeModel and InvokeModelWithResponseStream, and sets the function's metadata and
// guardrail in the headers.
func invokeBody(body []byte, headers http.Header, metadata map[string]string, guardrail *types.GuardrailConfiguration) ([]byte, error) {
	if given := headers.Get(metadataHeader); given != "" {
		if err := addMetadata(metadata, json.RawMessage(given)); err != nil {
			return nil, err
		}
	}
	headers.Set(metadataHeader, string(marshal(withoutEmpty(metadata))))
	if guardrail != nil {
		headers.Set(guardrailHeader, *guardrail.GuardrailIdentifier)
		headers.Set(guardrailVersionHeader, *guardrail.GuardrailVersion)
	}
	return withoutGuardrail(body), nil
}

// withoutGuardrail removes the members that configure a guardrail from a model's own body. Without them, the body stays
// as it was written.
func withoutGuardrail(body []byte) []byte {
	members, err := readObject(body)
	all := len(members)
	kept := slices.DeleteFunc(members, func(m member) bool { return strings.HasPrefix(strings.ToLower(m.key), guardrailMembers) })
	if err != nil || len(kept) == all {
		return body
	}
	return writeObject(kept)
}

// maxMetadata is the number of entries that Bedrock accepts (Bedrock User Guide, "Tag requests with metadata").
const maxMetadata = 16

// addMetadata adds the caller's entries to the function's. A caller can't set the function's keys. Bedrock refuses
// invalid entries.
func addMetadata(metadata map[string]string, given json.RawMessage) error {
	share := maxMetadata
	for _, key := range contract.MetadataKeys {
		if metadata[key] != "" {
			share--
		}
	}
	tooMany := badRequest("TooMuchMetadata", fmt.Sprintf("requestMetadata: got more than %d entries, which is the maximum: Bedrock accepts %d, and this API adds %d", share, maxMetadata, maxMetadata-share))
	members, err := readObject(given)
	if err != nil {
		return badRequest("InvalidMetadata", "requestMetadata: want an object of texts")
	}
	if len(members) > maxMetadata {
		return tooMany
	}
	for _, m := range members {
		var value string
		if json.Unmarshal(m.value, &value) != nil {
			return badRequest("InvalidMetadata", "requestMetadata: want an object of texts")
		}
		if !slices.ContainsFunc(contract.MetadataKeys, func(own string) bool { return strings.EqualFold(own, m.key) }) {
			metadata[m.key] = value
		}
	}
	if len(metadata)-len(contract.MetadataKeys) > share {
		return tooMany
	}
	return nil
}

// withoutEmpty removes the entries without a value.
func withoutEmpty(metadata map[string]string) map[string]string {
	maps.DeleteFunc(metadata, func(_, value string) bool { return value == "" })
	return metadata
}

func marshal(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings, and JSON that was parsed, always marshal
	}
	return b
}

// member is a member of a JSON object. Its value stays as it was written.
type member struct {
	key   string
	value json.RawMessage
}

func readObject(body []byte) (members []member, err error) {
	wrong := badRequest("InvalidBody", "the body isn't a JSON object")
	d := json.NewDecoder(bytes.NewReader(body))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return nil, wrong
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, wrong
		}
		m := member{key: key.(string)}
		if err := d.Decode(&m.value); err != nil {
			return nil, wrong
		}
		members = append(members, m)
	}
	if _, err := d.Token(); err != nil {
		return nil, wrong
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, wrong
	}
	return members, nil
}

func writeObject(members []member) []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range members {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(marshal(m.key))
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// countWhole reads the token counts of a response that isn't a stream. InvokeModel returns them in headers, because its
// body has the model's format.
func (c *call) countWhole(headers http.Header, body []byte) {
	var out struct {
		Usage struct{ InputTokens, OutputTokens, CacheReadInputTokens, CacheWriteInputTokens int }
	}
	if input := headers.Get("X-Amzn-Bedrock-Input-Token-Count"); input != "" {
		number := func(name string) int { n, _ := strconv.Atoi(headers.Get("X-Amzn-Bedrock-" + name)); return n }
		c.tokens = tokens{number("Input-Token-Count"), number("Output-Token-Count"), number("Cache-Read-Input-Token-Count"), number("Cache-Write-Input-Token-Count")}
	} else if json.Unmarshal(body, &out) == nil {
		c.tokens = tokens{out.Usage.InputTokens, out.Usage.OutputTokens, out.Usage.CacheReadInputTokens, out.Usage.CacheWriteInputTokens}
	}
}

// forwardedStream is an event stream that is forwarded to the caller byte by byte.
type forwardedStream struct {
	upstream io.ReadCloser
	c        *call
	frames   frames
	rest     io.Reader // after upstream's end
}

func (s *forwardedStream) Read(p []byte) (int, error) {
	if s.rest != nil {
		return s.rest.Read(p)
	}
	n, err := s.upstream.Read(p)
	if n > 0 && s.c.firstByte == 0 {
		s.c.firstByte = time.Since(s.c.start)
	}
	s.frames.write(p[:n])
	if err == nil {
		return n, nil
	}
	if err == io.EOF && s.frames.whole() {
		s.c.tokens, s.c.err = s.frames.last()
		return n, io.EOF
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	s.c.err = err
	if !s.frames.whole() {
		return n, err // cuts the response, because no exception fits within a frame
	}
	s.rest = bytes.NewReader(exception(classify(err)))
	return n, nil
}

func (s *forwardedStream) Close() error { return s.upstream.Close() }

// nativeFailure returns an error in Bedrock's format, so that clients raise their typed exceptions. It passes on
// Bedrock's message, unless that can name roles and accounts.
func nativeFailure(err error, c *call) response {
	e := classify(err)
	status, code, message := e.Status, awsName(e), e.Message
	var answered *bedrockError
	if errors.As(err, &answered) && bedrockErrors[answered.code].Code != "" {
		status, code = answered.status, answered.code
		if answered.status != http.StatusForbidden {
			message = cmp.Or(answered.message, message)
		}
	}
	body := marshal(map[string]string{"__type": code, "message": message})
	answer := respond(status, "application/json", body)
	answer.headers["X-Amzn-Errortype"] = code
	if status == http.StatusTooManyRequests {
		answer.headers["Retry-After"] = "1"
	}
	return answer
}

// awsName returns the name of Bedrock's exception for the same error (Bedrock API Reference, Converse, "Errors").
func awsName(e apiError) string {
	if e.Code == unknownOperation {
		return e.Code
	}
	switch e.Status {
	case http.StatusForbidden:
		return "AccessDeniedException"
	case http.StatusNotFound:
		return "ResourceNotFoundException"
	case http.StatusServiceUnavailable:
		return "ServiceUnavailableException"
	case http.StatusGatewayTimeout:
		return "ModelTimeoutException"
	case http.StatusFailedDependency:
		return "ModelErrorException"
	case http.StatusTooManyRequests:
		return "ThrottlingException"
	case http.StatusInternalServerError, http.StatusBadGateway:
		return "InternalServerException"
	}
	return "ValidationException"
}
