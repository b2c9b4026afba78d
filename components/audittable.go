package components

import (
	"strings"

	"github.com/private-bedrock/private-bedrock/internal/contract"
)

const recordsTable = "records"

// recordsLocation is where Bedrock writes this account's and region's records; the permission check lies above it.
func recordsLocation(to target, bucket string) string {
	return "s3://" + bucket + "/" + contract.LogPrefix + "/AWSLogs/" + to.account + "/" + contract.RecordsFolder +
		"/" + to.region + "/"
}

// recordsFormat has the whole line as the table's one column, and calls.sql take it apart: the delimiter of fields is
// Ctrl-A, a character that JSON only has escaped (RFC 8259, section 7).
//
// It is none of Athena's JSON SerDes, by AWS's own word: of the OpenX SerDe "the number of results and their values can be
// non-deterministic" (Athena User Guide, "OpenX JSON SerDe"), and it lower-cases keys, so that two keys of a prompt's own
// could make its record unreadable; the Hive SerDe cannot read an object as text. Both would also stumble over the large
// bodies, which lie below the records, so that a table's location has both (see calls.sql) and which are of any form.
var recordsFormat = struct {
	input, output, serde string
	parameters           map[string]string
}{
	input: "org.apache.hadoop.mapred.TextInputFormat", output: "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
	serde: "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe", parameters: map[string]string{"serialization.format": "1"},
}

// recordsProperties have Athena find each day's folder by itself. Days and not hours: each partition is listed whether it
// has anything or not, and AWS advises against projection where more than half have not (Athena User Guide, "Use partition
// projection with Amazon Athena").
func recordsProperties(to target, bucket string) map[string]string {
	return map[string]string{
		"projection.enabled":        "true",
		"projection.day.type":       "date",
		"projection.day.format":     "yyyy/MM/dd",
		"projection.day.range":      "2023/01/01,NOW", // Bedrock is younger; in UTC, as its folders
		"storage.location.template": recordsLocation(to, bucket) + "${day}/",
		// Without it Athena skips restored records as it skips archived ones, silently (Athena User Guide, "Query restored
		// Amazon S3 Glacier objects").
		"read_restored_glacier_objects": "true",
	}
}

// databaseName makes a bucket's name one that needs no quotes (Athena User Guide, "Name databases, tables, and columns").
func databaseName(bucket string) string {
	return strings.NewReplacer("-", "_", ".", "_").Replace(bucket)
}
