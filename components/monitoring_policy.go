package components

import "github.com/private-bedrock/private-bedrock/internal/iamdoc"

// topicPolicy lets CloudWatch and EventBridge publish for this account's alarms and rules whose names begin with the
// given one (CloudWatch User Guide, "Notifying users on alarm changes"; EventBridge User Guide, "Cross-service confused
// deputy prevention"), and denies publishing without TLS (SNS Developer Guide, "Amazon SNS security best practices"). A
// rule's ARN has the account. With aws:SourceAccount beside it EventBridge can't publish, according to its guide,
// "Troubleshooting".
func topicPolicy(t iamdoc.Target, topicArn, name string) (string, error) {
	publish := func(sid, service string, condition iamdoc.Conditions) iamdoc.Statement {
		return iamdoc.Statement{
			Sid: sid, Effect: "Allow", Principal: iamdoc.Service(service), Action: []string{"sns:Publish"},
			Resource: []string{topicArn}, Condition: condition,
		}
	}
	rules := t.ARN("events", "rule/"+name+"*")
	return iamdoc.JSON(
		publish("AlarmsPublish", "cloudwatch.amazonaws.com", iamdoc.BoundTo(t.Account, alarmArn(t, name+"*"))),
		publish("RulesPublish", "events.amazonaws.com", iamdoc.Conditions{"ArnLike": {"aws:SourceArn": {rules}}}),
		iamdoc.OnlyOverTLS("sns:Publish", topicArn),
	)
}

func alarmArn(t iamdoc.Target, name string) string { return t.ARN("cloudwatch", "alarm:"+name) }

// topicKeyPolicy lets CloudWatch and EventBridge encrypt what they publish, with the actions that EventBridge's guide
// lists (EventBridge User Guide, "Troubleshooting Amazon EventBridge"). EventBridge sets no condition key when it uses
// a topic's key (SNS Developer Guide, "Managing Amazon SNS encryption keys and costs"), so this grant can't be limited
// to one account. For that reason the topic has its own key. A principal that disabled a shared key would also suppress
// the alert about it.
func topicKeyPolicy(t iamdoc.Target, name string) (string, error) {
	encrypt := func(sid, service string, condition iamdoc.Conditions) iamdoc.Statement {
		return iamdoc.Statement{
			Sid: sid, Effect: "Allow", Principal: iamdoc.Service(service),
			Action: []string{"kms:Decrypt", "kms:GenerateDataKey"}, Resource: []string{"*"}, Condition: condition,
		}
	}
	return iamdoc.JSON(
		iamdoc.AccountDecidesByIAM(t),
		encrypt("AlarmsAreEncrypted", "cloudwatch.amazonaws.com", iamdoc.BoundTo(t.Account, alarmArn(t, name+"*"))),
		encrypt("RulesAreEncrypted", "events.amazonaws.com", nil),
	)
}
