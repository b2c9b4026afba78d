// Package sns publishes to topics as a service of AWS does: where the policies of the topic and of its key allow it.
package sns

import (
	"context"
	"fmt"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/iam"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/kms"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
	"strings"
)

// Topics publishes in services' names.
type Topics struct {
	Moto wire.Client
	// Alarm hears each message's first line.
	Alarm func(string)
}

// Publish publishes if the topic's policy lets the service, and its key's where it has one. A message to a
// topic that is gone is lost, as on AWS.
func (t Topics) Publish(ctx context.Context, topic, service string, source, keySource map[string][]string, message string) error {
	attributes, err := t.Attributes(ctx, topic)
	if wire.NotFound(err) {
		return nil
	} else if err != nil {
		return err
	}
	if err := iam.DecideResource(attributes["Policy"], iam.ServiceRequest(service, "sns:Publish", topic, source)); err != nil {
		return fmt.Errorf("topic %s: %w", topic, err)
	}
	if key := attributes["KmsMasterKeyId"]; key != "" {
		if err := kms.KeyAllows(ctx, t.Moto, key, nil, iam.ServiceRequest(service, "kms:GenerateDataKey", key, keySource), iam.ServiceRequest(service, "kms:Decrypt", key, keySource)); err != nil {
			return err
		}
	}
	first, _, _ := strings.Cut(message, "\n")
	if t.Alarm != nil {
		t.Alarm(first)
	}
	return t.Moto.Query(ctx, "sns", Version, "Publish", map[string]string{"TopicArn": topic, "Message": message}, &struct{}{})
}

// Attributes reads the attributes of a topic.
func (t Topics) Attributes(ctx context.Context, topic string) (map[string]string, error) {
	var out struct {
		Attributes []struct {
			Key   string `xml:"key"`
			Value string `xml:"value"`
		} `xml:"GetTopicAttributesResult>Attributes>entry"`
	}
	err := t.Moto.Query(ctx, "sns", Version, "GetTopicAttributes", map[string]string{"TopicArn": topic}, &out)
	attributes := map[string]string{}
	for _, a := range out.Attributes {
		attributes[a.Key] = a.Value
	}
	return attributes, err
}

// Version is that of the API.
const Version = "2010-03-31"
