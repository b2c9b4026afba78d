// Package events plays the default bus of Amazon EventBridge: it makes the event that CloudTrail has of a writing call, and sends
// it to the targets of the deployed rules.
package events

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

// Bus is EventBridge's default bus, for what CloudTrail tells of calls: rules and targets are those that are deployed.
// The sandbox's account has a trail, and what AWS tells within minutes it tells before the call is answered.
type Bus struct {
	Moto    wire.Client
	Account string
	Topics  sns.Topics
	Failed  func(error)

	mu    sync.Mutex
	Rules []eventRule // nil is not read since a rule was changed
}

type eventRule struct {
	Name, Arn, EventPattern, State string

	Pattern map[string]any
	targets []eventTarget
}

type eventTarget struct {
	Arn              string
	InputTransformer struct {
		InputPathsMap map[string]string
		InputTemplate string
	}
}

// Tell serves a call and tells the rules of it.
func (b *Bus) Tell(w http.ResponseWriter, r *http.Request, by string, c Call, serve http.HandlerFunc) {
	var response map[string]any
	if c.Service == "kms" {
		response = b.keyOf(r.Context(), c)
	}
	o := &outcome{ResponseWriter: w, status: http.StatusOK}
	serve(o, r)
	if c.Service == "events" {
		b.mu.Lock()
		b.Rules = nil
		b.mu.Unlock()
	}
	if err := b.put(context.WithoutCancel(r.Context()), c.Event(b.Moto.Region, b.Account, by, o.code(), response, time.Now())); err != nil {
		b.Failed(fmt.Errorf("event of %s: %w", c.Name, err))
	}
}

// keyOf is what CloudTrail adds to calls that change a key, so that they can be found (KMS Developer Guide, "Logging AWS
// KMS API calls with AWS CloudTrail").
func (b *Bus) keyOf(ctx context.Context, c Call) map[string]any {
	var out struct{ KeyMetadata struct{ Arn string } }
	for _, parameter := range []string{"keyId", "targetKeyId", "aliasName"} {
		if id, ok := c.Parameters[parameter].(string); ok && b.Moto.Target(ctx, "kms", "TrentService.DescribeKey", map[string]string{"KeyId": id}, &out) == nil {
			return map[string]any{"keyId": out.KeyMetadata.Arn}
		}
	}
	return nil
}

// put sends an event to the targets of each rule that matches.
func (b *Bus) put(ctx context.Context, event map[string]any) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.Rules == nil {
		if err := b.Read(ctx); err != nil {
			return err
		}
	}
	var errs []error
	for _, rule := range b.Rules {
		ok, err := Matches(rule.Pattern, event)
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
				err = b.Topics.Publish(ctx, target.Arn, "events.amazonaws.com", map[string][]string{"aws:SourceArn": {rule.Arn}, "aws:SourceAccount": {b.Account}}, nil, message)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("rule %s: %w", rule.Name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// Read reads the rules that are on, and their targets.
func (b *Bus) Read(ctx context.Context) error {
	var out struct{ Rules []eventRule }
	if err := b.Moto.Target(ctx, "events", "AWSEvents.ListRules", map[string]string{}, &out); err != nil {
		return err
	}
	rules := []eventRule{}
	for _, rule := range out.Rules {
		if rule.State != "ENABLED" {
			continue
		}
		if err := json.Unmarshal([]byte(rule.EventPattern), &rule.Pattern); err != nil {
			return fmt.Errorf("rule %s: %w", rule.Name, err)
		}
		var of struct{ Targets []eventTarget }
		if err := b.Moto.Target(ctx, "events", "AWSEvents.ListTargetsByRule", map[string]string{"Rule": rule.Name}, &of); wire.NotFound(err) {
			continue // deleted in the meantime
		} else if err != nil {
			return err
		}
		rule.targets = of.Targets
		rules = append(rules, rule)
	}
	b.Rules = rules
	return nil
}
