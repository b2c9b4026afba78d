package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/sns"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
	"net/http"
	"sync"
	"time"
)

// eventBus is EventBridge's default bus, for what CloudTrail tells of calls: rules and targets are those that are deployed.
// The sandbox's account has a trail, and what AWS tells within minutes it tells before the call is answered.
type eventBus struct {
	moto    wire.Client
	account string
	topics  sns.Topics
	failed  func(error)

	mu    sync.Mutex
	rules []eventRule // nil is not read since a rule was changed
}

type eventRule struct {
	Name, Arn, EventPattern, State string

	pattern map[string]any
	targets []eventTarget
}

type eventTarget struct {
	Arn              string
	InputTransformer struct {
		InputPathsMap map[string]string
		InputTemplate string
	}
}

// tell serves a call and tells the rules of it.
func (b *eventBus) tell(w http.ResponseWriter, r *http.Request, by string, c call, serve http.HandlerFunc) {
	var response map[string]any
	if c.service == "kms" {
		response = b.keyOf(r.Context(), c)
	}
	o := &outcome{ResponseWriter: w, status: http.StatusOK}
	serve(o, r)
	if c.service == "events" {
		b.mu.Lock()
		b.rules = nil
		b.mu.Unlock()
	}
	if err := b.put(context.WithoutCancel(r.Context()), c.event(b.moto.Region, b.account, by, o.code(), response, time.Now())); err != nil {
		b.failed(fmt.Errorf("event of %s: %w", c.name, err))
	}
}

// keyOf is what CloudTrail adds to calls that change a key, so that they can be found (KMS Developer Guide, "Logging AWS
// KMS API calls with AWS CloudTrail").
func (b *eventBus) keyOf(ctx context.Context, c call) map[string]any {
	var out struct{ KeyMetadata struct{ Arn string } }
	for _, parameter := range []string{"keyId", "targetKeyId", "aliasName"} {
		if id, ok := c.parameters[parameter].(string); ok && b.moto.Target(ctx, "kms", "TrentService.DescribeKey", map[string]string{"KeyId": id}, &out) == nil {
			return map[string]any{"keyId": out.KeyMetadata.Arn}
		}
	}
	return nil
}

// put sends an event to the targets of each rule that matches.
func (b *eventBus) put(ctx context.Context, event map[string]any) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rules == nil {
		if err := b.read(ctx); err != nil {
			return err
		}
	}
	var errs []error
	for _, rule := range b.rules {
		ok, err := matches(rule.pattern, event)
		if err != nil {
			errs = append(errs, fmt.Errorf("rule %s: %w", rule.Name, err))
		}
		for _, target := range rule.targets {
			if !ok {
				break
			}
			message, err := transformed(target.InputTransformer.InputPathsMap, target.InputTransformer.InputTemplate, event)
			if err == nil {
				// SNS Developer Guide, "Managing Amazon SNS encryption keys and costs": EventBridge's use of a key has no source.
				err = b.topics.Publish(ctx, target.Arn, "events.amazonaws.com", map[string][]string{"aws:SourceArn": {rule.Arn}, "aws:SourceAccount": {b.account}}, nil, message)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("rule %s: %w", rule.Name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// read reads the rules that are on, and their targets.
func (b *eventBus) read(ctx context.Context) error {
	var out struct{ Rules []eventRule }
	if err := b.moto.Target(ctx, "events", "AWSEvents.ListRules", map[string]string{}, &out); err != nil {
		return err
	}
	rules := []eventRule{}
	for _, rule := range out.Rules {
		if rule.State != "ENABLED" {
			continue
		}
		if err := json.Unmarshal([]byte(rule.EventPattern), &rule.pattern); err != nil {
			return fmt.Errorf("rule %s: %w", rule.Name, err)
		}
		var of struct{ Targets []eventTarget }
		if err := b.moto.Target(ctx, "events", "AWSEvents.ListTargetsByRule", map[string]string{"Rule": rule.Name}, &of); wire.NotFound(err) {
			continue // deleted in the meantime
		} else if err != nil {
			return err
		}
		rule.targets = of.Targets
		rules = append(rules, rule)
	}
	b.rules = rules
	return nil
}
