package iampolicy

import "regexp"

// roleARN has the partition, the account, and the name behind the path (IAM User Guide, "IAM identifiers"; IAM API Reference,
// "CreateRole").
var roleARN = regexp.MustCompile(`^arn:(aws[a-z-]*):iam::(\d+):role/(?:[\x21-\x7e]*/)?([\w+=,.@-]+)$`)

// SessionsOf returns what the ARN of every session of a role begins with, and of no other identity: the name of the session
// follows. A session's ARN leaves out the role's path (IAM User Guide, "IAM identifiers").
func SessionsOf(role string) (prefix string, ok bool) {
	m := roleARN.FindStringSubmatch(role)
	if m == nil {
		return "", false
	}
	return "arn:" + m[1] + ":sts::" + m[2] + ":assumed-role/" + m[3] + "/", true
}
