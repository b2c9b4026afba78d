package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

type s3Store struct {
	client *s3.Client
	bucket string
}

func (s s3Store) String() string { return "bucket " + s.bucket }

func (s s3Store) keys(ctx context.Context, prefix, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: &prefix, StartAfter: &after})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield("", err)
				return
			}
			for _, o := range page.Contents {
				if !yield(aws.ToString(o.Key), nil) {
					return
				}
			}
		}
	}
}

func (s s3Store) folders(ctx context.Context, prefix string) (folders []string, err error) {
	pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: &prefix, Delimiter: aws.String("/")})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, p := range page.CommonPrefixes {
			folders = append(folders, aws.ToString(p.Prefix))
		}
	}
	return folders, nil
}

func (s s3Store) open(ctx context.Context, key string) (io.ReadCloser, error) {
	o, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket, Key: &key})
	var archived *types.InvalidObjectState
	switch {
	case errors.As(err, &archived):
		return nil, fmt.Errorf("in storage class %s: restore it first (S3 User Guide, \"Restoring an archived object\")", archived.StorageClass)
	case err != nil:
		return nil, err
	}
	return o.Body, nil
}

// LogGroup reads a log group of CloudWatch Logs: the invocation log or the access log.
type LogGroup struct {
	Client *cloudwatchlogs.Client
	Name   string
}

func (g LogGroup) String() string { return "log group " + g.Name }

func (g LogGroup) pieces(ctx context.Context, since, until time.Time) iter.Seq2[piece, error] {
	return func(yield func(piece, error) bool) {
		in := &cloudwatchlogs.FilterLogEventsInput{LogGroupName: &g.Name}
		if !since.IsZero() {
			in.StartTime = aws.Int64(since.UnixMilli())
		}
		if !until.IsZero() {
			in.EndTime = aws.Int64(until.Add(lag).UnixMilli())
		}
		pages := cloudwatchlogs.NewFilterLogEventsPaginator(g.Client, in)
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(piece{}, err)
				return
			}
			if len(page.Events) == 0 {
				continue
			}
			var lines strings.Builder
			for _, event := range page.Events {
				lines.WriteString(aws.ToString(event.Message) + "\n")
			}
			first := time.UnixMilli(aws.ToInt64(page.Events[0].Timestamp)).UTC()
			if !yield(piece{g.String() + ", page from " + first.Format(time.RFC3339), first, func(context.Context) (io.ReadCloser, error) {
				return io.NopCloser(strings.NewReader(lines.String())), nil
			}}, nil) {
				return
			}
		}
	}
}
