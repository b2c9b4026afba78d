package iampolicy

import "regexp"

// roleARN matches the ARN of a role: its partition, account, and name after the path (IAM User Guide, "IAM
// identifiers"; IAM API Reference, "CreateRole").
var roleARN = regexp.MustCompile(`^arn:(aws[a-z-]*):iam::(\d+):role/(?:[\x21-\x7e]*/)?([\w+=,.@-]+)$`)

// SessionsOf returns the prefix of the ARNs of a role's sessions, which no other identity has. The name of the session
// follows it. A session's ARN omits the role's path (IAM User Guide, "IAM identifiers").
func SessionsOf(role string) (prefix string, ok bool) {
	m := roleARN.FindStringSubmatch(role)
	if m == nil {
		return "", false
	}
	return "arn:" + m[1] + ":sts::" + m[2] + ":assumed-role/" + m[3] + "/", true
}
