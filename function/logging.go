package main

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

const (
	// lookAgain is how long Bedrock's logging may be off before a call is refused; recoverAfter, before one is answered again.
	lookAgain    = time.Minute
	recoverAfter = 5 * time.Second
	lookTakes    = 5 * time.Second // at most
	// bridged is how long a good look counts when the next ones fail: Bedrock throttles what asks for settings, and all
	// copies of a function ask.
	bridged = 5 * time.Minute
)

// destinations are where Bedrock keeps what it is asked and answers. Empty is any.
type destinations struct{ bucket, logGroup string }

// invocationLog looks whether Bedrock keeps every prompt and answer: nothing is asked of a model while it does not.
type invocationLog struct {
	required bool
	want     destinations
	look     func(context.Context) (loggingConfig, error)
	failed   func(context.Context, error) // is told why a look failed

	mu     sync.Mutex
	looked time.Time // at last
	good   time.Time // when it was on, at last
	state  error     // nil: on, and going where it should
}

// loggingConfig is GetModelInvocationLoggingConfiguration's (Bedrock API Reference, LoggingConfig). Nil is off.
type loggingConfig struct {
	LoggingConfig *struct {
		CloudWatchConfig struct {
			LogGroupName string `json:"logGroupName"`
		} `json:"cloudWatchConfig"`
		S3Config struct {
			BucketName string `json:"bucketName"`
		} `json:"s3Config"`
		TextDataDeliveryEnabled      *bool `json:"textDataDeliveryEnabled"`
		ImageDataDeliveryEnabled     *bool `json:"imageDataDeliveryEnabled"`
		EmbeddingDataDeliveryEnabled *bool `json:"embeddingDataDeliveryEnabled"`
		VideoDataDeliveryEnabled     *bool `json:"videoDataDeliveryEnabled"`
	} `json:"loggingConfig"`
}

func (b bedrock) loggingConfig(ctx context.Context) (c loggingConfig, err error) {
	response, err := b.send(ctx, http.MethodGet, b.control+"/logging/modelinvocations", http.Header{}, nil)
	if err != nil {
		return c, err
	}
	defer response.Body.Close()
	return c, json.NewDecoder(response.Body).Decode(&c)
}

func unlogged(what string) error {
	return apiError{http.StatusServiceUnavailable, "NotLogged", "this API asks nothing of a model that would not be kept: Bedrock's invocation logging " + what + "; it answers again by itself"}
}

// check says what is wrong with a configuration.
func (c loggingConfig) check(want destinations) error {
	l := c.LoggingConfig
	if l == nil {
		return unlogged("is off")
	}
	got := destinations{l.S3Config.BucketName, l.CloudWatchConfig.LogGroupName}
	if got == (destinations{}) {
		return unlogged("is off")
	}
	for _, kind := range []*bool{l.TextDataDeliveryEnabled, l.ImageDataDeliveryEnabled, l.EmbeddingDataDeliveryEnabled, l.VideoDataDeliveryEnabled} {
		if kind != nil && !*kind {
			return unlogged("leaves out some kinds of data")
		}
	}
	if want.bucket != "" && got.bucket != want.bucket || want.logGroup != "" && got.logGroup != want.logGroup {
		return unlogged("goes elsewhere than this API was deployed with")
	}
	return nil
}

// check is nil while Bedrock keeps what it is asked. It looks again when its last look is a minute old.
func (l *invocationLog) check(ctx context.Context, now time.Time) error {
	if !l.required {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := recoverAfter
	if l.state == nil {
		counts = lookAgain
	}
	if !l.looked.IsZero() && now.Sub(l.looked) < counts {
		return l.state
	}
	l.looked = now
	ctx, cancel := context.WithTimeout(ctx, lookTakes)
	defer cancel()
	config, err := l.look(ctx)
	if err != nil {
		l.failed(ctx, err)
		if now.Sub(l.good) >= bridged { // never, if it never was good
			l.state = unlogged("cannot be looked at")
		}
		return l.state
	}
	if l.state = config.check(l.want); l.state == nil {
		l.good = now
	}
	return l.state
}
