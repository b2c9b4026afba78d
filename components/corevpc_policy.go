package components

import "github.com/private-bedrock/private-bedrock/internal/iamdoc"

// flowLogPolicy lets flow logs write to this group only. Of the list in the VPC User Guide, "Publish flow logs to
// CloudWatch Logs", it leaves out CreateLogGroup, because the group exists, and DescribeLogGroups, which would list
// every group.
func flowLogPolicy(logGroupArn string) (string, error) {
	return iamdoc.RolePolicy(iamdoc.Statement{
		Sid: "FlowLog", Effect: "Allow",
		Action:   []string{"logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"},
		Resource: []string{logGroupArn, logGroupArn + ":log-stream:*"},
	})
}
