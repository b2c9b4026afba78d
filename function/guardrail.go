package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go/encoding/httpbinding"

	"github.com/private-bedrock/private-bedrock/internal/contract"
)

// newGuardrail returns nil if no guardrail is set. It returns an error if only the ID or the version is set, because
// calls would be unguarded.
func newGuardrail(id, version string) (*types.GuardrailConfiguration, error) {
	switch {
	case id == "" && version == "":
		return nil, nil
	case id == "" || version == "":
		const both = contract.EnvGuardrailID + ", " + contract.EnvGuardrailVersion
		return nil, fmt.Errorf(both+": got %q and %q, must both be set or both be empty", id, version)
	}
	// A trace would quote the content that was blocked.
	return &types.GuardrailConfiguration{GuardrailIdentifier: &id, GuardrailVersion: &version}, nil
}

// errNoGuardrail refuses a guardrail that the caller names. IAM would deny the call. If the function removed the
// guardrail, the caller would assume that the call is guarded.
var errNoGuardrail = badRequest("NoGuardrail", "guardrailConfig, X-Amzn-Bedrock-GuardrailIdentifier: this API has no guardrail: omit the member and the header, or ask the API's operators to set a guardrail")

// guardrailMembers is the prefix of members that configure the guardrail in a model's own body. They narrow what it
// evaluates, delay its verdict, or add a trace that quotes blocked content (Bedrock User Guide, "Apply tags to user
// input to filter content", "Configure streaming response behavior to filter content").
const guardrailMembers = "amazon-bedrock-"

// guardSystem marks each text of a system prompt as guardContent. A guardrail evaluates nothing else of a system prompt
// (Bedrock User Guide, "Include a guardrail with the Converse API").
func guardSystem(system json.RawMessage) (json.RawMessage, error) {
	var blocks []json.RawMessage
	if err := json.Unmarshal(system, &blocks); err != nil {
		return nil, badRequest("InvalidBody", "system: must be a list of blocks")
	}
	for i, block := range blocks {
		members, err := readObject(block)
		if err != nil {
			return nil, err
		}
		for j, m := range members {
			if m.key == "text" {
				members[j] = member{"guardContent", marshal(map[string]any{"text": map[string]any{"text": m.value}})}
			}
		}
		blocks[i] = writeObject(members)
	}
	return marshal(blocks), nil
}

const (
	// pieceRunes is the maximum that one call of ApplyGuardrail evaluates: 25 text units of 1,000 characters. That is
	// the quota for a second in most Regions (Bedrock endpoints and quotas, "On-demand ApplyGuardrail Content filter
	// policy text units per second").
	pieceRunes = 25_000
	// overlapRunes is how many runes of a piece are repeated in the next piece, so that the cut hides no word. A word
	// filter's phrase has at most 100 characters (Bedrock API Reference, GuardrailWordConfig), of up to 12 each if JSON
	// escapes them.
	overlapRunes = 1_200
)

// pieces splits a text into overlapping pieces of at most pieceRunes. Each word of up to overlapRunes is complete in
// one of them.
func pieces(text string) (cut []string) {
	runes := []rune(text)
	for len(runes) > pieceRunes {
		end := space(runes, pieceRunes)
		cut = append(cut, string(runes[:end]))
		runes = runes[space(runes, end-overlapRunes):]
	}
	return append(cut, string(runes))
}

// space returns the end of a word that is at most overlapRunes before a position, or the position.
func space(runes []rune, before int) int {
	for i := before; i > before-overlapRunes && i > 0; i-- {
		if unicode.IsSpace(runes[i]) {
			return i
		}
	}
	return before
}

// passed contains hashes of texts in which the guardrail didn't intervene, because agents send tools and earlier turns
// again with every turn. A version of a guardrail never changes, and a deployment that sets another one replaces the
// function's instances.
type passed struct {
	mu sync.Mutex
	by map[[sha256.Size]byte]bool
}

func hash(source types.GuardrailContentSource, text string) [sha256.Size]byte {
	return sha256.Sum256([]byte(string(source) + "\x00" + text))
}

func (p *passed) has(h [sha256.Size]byte) bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.by[h]
}

func (p *passed) add(all [][sha256.Size]byte) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.by == nil || len(p.by) > 10_000 { // 1 MB
		p.by = map[[sha256.Size]byte]bool{}
	}
	for _, h := range all {
		p.by[h] = true
	}
}

// intervened returns the error for content that the guardrail blocks or masks. Its message names members and quotes no
// text.
func intervened(source types.GuardrailContentSource, members []string) error {
	names := strings.Join(members[:min(len(members), 3)], ", ")
	if more := len(members) - 3; more > 0 {
		names += fmt.Sprintf(" and %d more", more)
	}
	if source == types.GuardrailContentSourceOutput {
		// The model was called, so the status differs from that of a call that was refused before.
		return apiError{http.StatusFailedDependency, "GuardrailIntervened", names + ": the guardrail intervened in the model's response, which isn't sent"}
	}
	return badRequest("GuardrailIntervened", names+": the guardrail intervened; no model was called")
}

// evaluate evaluates texts with ApplyGuardrail. If the evaluation fails, it returns an error.
func (h handler) evaluate(ctx context.Context, source types.GuardrailContentSource, parts []*part) error {
	var members, batch []string
	var hashes [][sha256.Size]byte
	size := 0
	apply := func() error {
		if len(batch) == 0 {
			return nil
		}
		blocked, err := h.bedrock.applyGuardrail(ctx, h.guardrail, source, strings.Join(batch, "\n"))
		if err != nil {
			return h.notEvaluated(ctx, source, err)
		}
		if blocked {
			return intervened(source, members)
		}
		h.passed.add(hashes)
		members, batch, hashes, size = nil, nil, nil, 0
		return nil
	}
	for _, p := range parts {
		for _, piece := range pieces(p.text.String()) {
			key := hash(source, piece)
			if h.passed.has(key) {
				continue
			}
			runes := utf8.RuneCountInString(piece) + 1
			if size+runes > pieceRunes {
				if err := apply(); err != nil {
					return err
				}
			}
			if len(members) == 0 || members[len(members)-1] != p.member {
				members = append(members, p.member)
			}
			batch, hashes, size = append(batch, piece), append(hashes, key), size+runes
		}
	}
	return apply()
}

// notEvaluated returns the error for a failed call of ApplyGuardrail.
func (h handler) notEvaluated(ctx context.Context, source types.GuardrailContentSource, err error) error {
	h.logFailure(ctx, err)
	switch status := classify(err).Status; {
	case status == http.StatusGatewayTimeout:
		return errDeadline
	case source == types.GuardrailContentSourceOutput:
		return apiError{http.StatusFailedDependency, "NotEvaluated", "the guardrail didn't evaluate the model's response, which isn't sent; retry later"}
	case status == http.StatusTooManyRequests:
		return apiError{status, "GuardrailThrottled", "the guardrail is throttled; no model was called: wait, then retry, or send less text"}
	}
	return apiError{http.StatusServiceUnavailable, "GuardrailUnavailable", "the guardrail didn't evaluate the request; no model was called: retry later, or contact this API's operators"}
}

// applyGuardrail calls ApplyGuardrail (Bedrock API Reference). Masking counts as an intervention.
func (b bedrock) applyGuardrail(ctx context.Context, g *types.GuardrailConfiguration, source types.GuardrailContentSource, text string) (blocked bool, err error) {
	url := b.endpoint + "/guardrail/" + httpbinding.EscapePath(*g.GuardrailIdentifier, true) + "/version/" + httpbinding.EscapePath(*g.GuardrailVersion, true) + "/apply"
	answered, err := b.send(ctx, http.MethodPost, url, http.Header{"Content-Type": {"application/json"}}, marshal(map[string]any{
		"source": source, "outputScope": types.GuardrailOutputScopeInterventions, "content": []any{map[string]any{"text": map[string]string{"text": text}}},
	}))
	if err != nil {
		return false, err
	}
	defer answered.Body.Close()
	var out struct{ Action types.GuardrailAction }
	if err := json.NewDecoder(answered.Body).Decode(&out); err != nil {
		return false, err
	}
	switch out.Action {
	case types.GuardrailActionNone:
		return false, nil
	case types.GuardrailActionGuardrailIntervened:
		return true, nil
	}
	return false, errNoUse
}

// evaluateRequest evaluates the content of a caller's body that Bedrock doesn't evaluate.
func (h handler) evaluateRequest(ctx context.Context, operation string, body []byte) error {
	if h.guardrail == nil {
		return nil
	}
	r := invokeRules
	if strings.HasPrefix(operation, "converse") {
		r = converseRules
	}
	parts, _, err := collect(body, r, h.unevaluatedTools)
	if err != nil {
		return err
	}
	return h.evaluate(ctx, types.GuardrailContentSourceInput, parts)
}

// evaluateAnswer evaluates the content of a complete response that Bedrock doesn't evaluate.
func (h handler) evaluateAnswer(ctx context.Context, body []byte) error {
	if h.guardrail == nil || len(body) == 0 {
		return nil
	}
	if isPicture(http.DetectContentType(body)) {
		return nil
	}
	parts, _, err := h.answerParts(body, answerRules)
	if err != nil {
		return err
	}
	return h.evaluate(ctx, types.GuardrailContentSourceOutput, parts)
}

func (h handler) answerParts(body []byte, r rules) (parts []*part, evaluated bool, err error) {
	if parts, evaluated, err = collect(body, r, h.unevaluatedTools); err != nil {
		e := classify(err) // the status differs from that of a refused request
		return nil, false, apiError{http.StatusFailedDependency, e.Code, "the model's response isn't sent: " + e.Message}
	}
	return parts, evaluated, nil
}
