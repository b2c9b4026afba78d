package audit_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/private-bedrock/private-bedrock/audit"
)

// This example lists the prompts of yesterday.
func Example() {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	bucket := audit.Bucket(s3.NewFromConfig(cfg), "bedrock-logging-0123456", "")
	role, err := audit.ParseRole("arn:aws:iam::123456789012:role/bedrock-app-dev-function-role-0123456") // the stack's functionRoleArn
	if err != nil {
		log.Fatal(err)
	}
	reader := audit.Reader{Log: bucket, Roles: []audit.Role{role}, Body: bucket.Body, Problem: func(err error) { log.Print(err) }}
	today := time.Now().UTC().Truncate(24 * time.Hour)
	for e, err := range reader.Entries(ctx, audit.Query{Since: today.AddDate(0, 0, -1), Until: today, Caller: "Clerk/jane", Texts: true}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Timestamp, e.ModelID, e.Prompt, e.Answer)
	}
}
