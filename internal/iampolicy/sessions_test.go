package iampolicy

import "testing"

// The sessions of a role are distinguished from those of a role with a similar name.
func TestSessionsOf(t *testing.T) {
	t.Parallel()
	for role, want := range map[string]string{
		"arn:aws:iam::123456789012:role/answer":           "arn:aws:sts::123456789012:assumed-role/answer/",
		"arn:aws:iam::123456789012:role/app/prod/answer":  "arn:aws:sts::123456789012:assumed-role/answer/",
		"arn:aws:iam::123456789012:role/role/answer":      "arn:aws:sts::123456789012:assumed-role/answer/",
		"arn:aws-us-gov:iam::123456789012:role/a+=,.@-_z": "arn:aws-us-gov:sts::123456789012:assumed-role/a+=,.@-_z/",
		"":                                                   "",
		"answer":                                             "",
		"arn:aws:iam::123456789012:role/":                    "",
		"arn:aws:iam::123456789012:role/app/":                "",
		"arn:aws:iam::123456789012:user/answer":              "",
		"arn:aws:iam:::role/answer":                          "",
		"arn:other:iam::123456789012:role/answer":            "",
		"arn:aws:iam::123456789012:role/answer\n":            "",
		"arn:aws:iam::123456789012:role/o'answer":            "",
		"arn:aws:sts::123456789012:assumed-role/answer/name": "",
	} {
		if got, ok := SessionsOf(role); got != want || ok != (want != "") {
			t.Errorf("SessionsOf(%q) = %q, %v, want %q", role, got, ok, want)
		}
	}
}
