package components

import (
	"strings"

	"github.com/private-bedrock/private-bedrock/internal/contract"
	"github.com/private-bedrock/private-bedrock/internal/iamdoc"
)

const recordsTable = "records"

// recordsLocation is where Bedrock writes this account's and Region's records. Its permission check is above that.
func recordsLocation(to iamdoc.Target, bucket string) string {
	return "s3://" + bucket + "/" + contract.LogPrefix + "/AWSLogs/" + to.Account + "/" + contract.RecordsFolder +
		"/" + to.Region + "/"
}

// recordsFormat makes the whole line the table's one column, which calls.sql takes apart: the delimiter of fields is
// Ctrl-A, a character that JSON has only in escaped form (RFC 8259, section 7).
//
// It isn't one of Athena's JSON SerDes. With the OpenX SerDe "the number of results and their values can be
// non-deterministic" (Athena User Guide, "OpenX JSON SerDe"), and it lower-cases keys, so that two keys in a prompt
// could make its record unreadable. The Hive SerDe can't read an object as text. Both would also fail on large bodies,
// which have any form and are below the records, in the same location (see calls.sql).
var recordsFormat = struct {
	input, output, serde string
	parameters           map[string]string
}{
	input:      "org.apache.hadoop.mapred.TextInputFormat",
	output:     "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
	serde:      "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
	parameters: map[string]string{"serialization.format": "1"},
}

// recordsProperties let Athena find each day's folder by itself. Days and not hours: Athena lists every partition,
// empty or not, and AWS advises against projection if more than half are empty (Athena User Guide, "Use partition
// projection with Amazon Athena").
func recordsProperties(to iamdoc.Target, bucket string) map[string]string {
	return map[string]string{
		"projection.enabled":        "true",
		"projection.day.type":       "date",
		"projection.day.format":     "yyyy/MM/dd",
		"projection.day.range":      "2023/01/01,NOW", // before Bedrock's first day; in UTC, as its folders
		"storage.location.template": recordsLocation(to, bucket) + "${day}/",
		// Without it Athena skips restored records as it skips archived ones, silently (Athena User Guide, "Query restored
		// Amazon S3 Glacier objects").
		"read_restored_glacier_objects": "true",
	}
}

// databaseName is a bucket's name in a form that needs no quotes (Athena User Guide, "Name databases, tables, and
// columns").
func databaseName(bucket string) string {
	return strings.NewReplacer("-", "_", ".", "_").Replace(bucket)
}
