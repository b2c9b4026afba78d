package logs

import (
	"os"
	"strings"
	"testing"
)

// A mask that CloudWatch Logs would refuse has to be refused here, not in the first deployment on AWS.
func TestCheckLogMask(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../../../components/testdata/log-mask.json")
	if err != nil {
		t.Fatal(err)
	}
	good := string(content)
	if wrong := checkLogMask(good); wrong != "" {
		t.Error(wrong)
	}
	for name, bad := range map[string]string{
		"no JSON": "?", "too long": good + strings.Repeat(" ", 30_720),
		"no mask":          strings.Replace(good, "Deidentify", "Audit", 1),
		"no audit":         strings.Replace(good, "Audit", "Deidentify", 1),
		"no destination":   strings.Replace(good, "FindingsDestination", "Other", 1),
		"no configuration": strings.Replace(good, "MaskConfig", "Other", 1),
		"other data":       strings.Replace(good, "EmailAddress", "Address", 1),
		"one statement":    `{"Statement":[{"DataIdentifier":["x"],"Operation":{"Audit":{"FindingsDestination":{}}}}]}`,
	} {
		if checkLogMask(bad) == "" {
			t.Errorf("%s: taken", name)
		}
	}
}
