package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/private-bedrock/private-bedrock/internal/contract"
)

const (
	// lookAgain is how long a setting of the account's may be wrong before a call is refused; recoverAfter, before one is
	// answered again.
	lookAgain    = time.Minute
	recoverAfter = 5 * time.Second
	lookTakes    = 5 * time.Second // at most
	// bridged is how long a good look counts when the next ones are throttled, fail or take too long: Bedrock throttles what
	// asks for settings, and all copies of a function ask.
	bridged = 5 * time.Minute
)

// watch looks at a setting of the account's at most once a minute. Nothing is asked of a model while the setting is wrong.
type watch struct {
	look    func(context.Context) error  // an apiError says what is wrong; another error, that Bedrock did not say
	unknown error                        // of a setting that Bedrock has not said for too long
	failed  func(context.Context, error) // gets the reason why a look failed

	mu     sync.Mutex
	looked time.Time // at last
	good   time.Time // when the setting was right, at last
	state  error     // nil: right
}

// check is nil while the setting is right. It looks again when its last look is a minute old.
func (w *watch) check(ctx context.Context, now time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	counts := recoverAfter
	if w.state == nil {
		counts = lookAgain
	}
	if !w.looked.IsZero() && now.Sub(w.looked) < counts {
		return w.state
	}
	w.looked = now
	ctx, cancel := context.WithTimeout(ctx, lookTakes)
	defer cancel()
	err := w.look(ctx)
	var wrong apiError
	switch {
	case err == nil:
		w.good, w.state = now, nil
	case errors.As(err, &wrong):
		w.state = wrong
	default:
		w.failed(ctx, err)
		if lasts(err) || now.Sub(w.good) >= bridged { // always, if it never was good
			w.state = w.unknown
		}
	}
	return w.state
}

// lasts is whether a look fails by more than chance: Bedrock refuses it, for example because the function's role lost the right.
func lasts(err error) bool {
	var refused *bedrockError
	return errors.As(err, &refused) && refused.status/100 == 4 && refused.status != http.StatusTooManyRequests && refused.status != http.StatusRequestTimeout &&
		bedrockErrors[refused.code].Status != http.StatusTooManyRequests // AWS's services answer some throttles with 400
}

// destination is where Bedrock keeps what it is asked and answers (Bedrock API Reference, LoggingConfig). Equal ones go to the
// same place, by the same role.
type destination struct {
	CloudWatchConfig struct {
		LogGroupName              string   `json:"logGroupName"`
		RoleARN                   string   `json:"roleArn"`
		LargeDataDeliveryS3Config s3Config `json:"largeDataDeliveryS3Config"`
	} `json:"cloudWatchConfig"`
	S3Config s3Config `json:"s3Config"`
}

type s3Config struct {
	BucketName string `json:"bucketName"`
	KeyPrefix  string `json:"keyPrefix"`
}

// parseDestination is that of the environment. Empty is any.
func parseDestination(config string) (d destination, err error) {
	if config == "" {
		return d, nil
	}
	decoder := json.NewDecoder(bytes.NewReader([]byte(config)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil || d == (destination{}) {
		return d, fmt.Errorf(contract.EnvLoggingConfiguration+": got %q, want cloudWatchConfig, s3Config or both, "+
			"as Bedrock's LoggingConfig has them, or nothing: %v", config, err)
	}
	return d, nil
}

// loggingConfig is GetModelInvocationLoggingConfiguration's (Bedrock API Reference, LoggingConfig). Nil is off.
type loggingConfig struct {
	LoggingConfig *struct {
		destination
		TextDataDeliveryEnabled      *bool `json:"textDataDeliveryEnabled"`
		ImageDataDeliveryEnabled     *bool `json:"imageDataDeliveryEnabled"`
		EmbeddingDataDeliveryEnabled *bool `json:"embeddingDataDeliveryEnabled"`
		VideoDataDeliveryEnabled     *bool `json:"videoDataDeliveryEnabled"`
		AudioDataDeliveryEnabled     *bool `json:"audioDataDeliveryEnabled"`
	} `json:"loggingConfig"`
}

func (b bedrock) loggingConfig(ctx context.Context) (c loggingConfig, err error) {
	return c, b.get(ctx, "/logging/modelinvocations", &c)
}

// get reads a setting of the account's.
func (b bedrock) get(ctx context.Context, path string, into any) error {
	response, err := b.send(ctx, http.MethodGet, b.control+path, http.Header{}, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return json.NewDecoder(response.Body).Decode(into)
}

func unlogged(what string) error {
	return apiError{http.StatusServiceUnavailable, "NotLogged", "this API asks nothing of a model that would not be kept: Bedrock's invocation logging " + what + "; it answers again by itself"}
}

// check says what is wrong with a configuration.
func (c loggingConfig) check(want destination) error {
	l := c.LoggingConfig
	if l == nil || l.S3Config.BucketName == "" && l.CloudWatchConfig.LogGroupName == "" {
		return unlogged("is off")
	}
	for _, kind := range []*bool{l.TextDataDeliveryEnabled, l.ImageDataDeliveryEnabled, l.EmbeddingDataDeliveryEnabled, l.VideoDataDeliveryEnabled} {
		if kind != nil && !*kind {
			return unlogged("leaves out some kinds of data")
		}
	}
	if want != (destination{}) && l.destination != want {
		return unlogged("goes elsewhere, or otherwise, than this API was deployed with")
	}
	return nil
}

// invocationLog looks whether Bedrock keeps every prompt and answer.
type invocationLog struct {
	watch
	required bool
	audio    atomic.Bool // whether Bedrock said, at last, that it keeps audio
}

func newInvocationLog(required bool, want destination, read func(context.Context) (loggingConfig, error), failed func(context.Context, error)) *invocationLog {
	l := &invocationLog{required: required}
	l.watch = watch{unknown: unlogged("cannot be looked at"), failed: failed, look: func(ctx context.Context) error {
		config, err := read(ctx)
		if err != nil {
			return err
		}
		// AWS does not say what audio is where the flag is left out, and the AWS provider cannot set it.
		on := config.LoggingConfig
		l.audio.Store(on != nil && on.AudioDataDeliveryEnabled != nil && *on.AudioDataDeliveryEnabled)
		return config.check(want)
	}}
	return l
}

// check is nil while Bedrock keeps what it is asked, or need not.
func (l *invocationLog) check(ctx context.Context, now time.Time) error {
	if !l.required {
		return nil
	}
	return l.watch.check(ctx, now)
}

// keepsAudio is whether a request with audio would be kept, or need not be.
func (l *invocationLog) keepsAudio() bool { return !l.required || l.audio.Load() }

// unshared are the modes of data retention under which AWS does not share prompts and answers with a model's provider or
// other third parties (Bedrock User Guide, "Data retention").
var unshared = []string{"default", "none", "inherit"}

// newRetention looks at the account's mode of data retention (Bedrock API Reference, GetAccountDataRetention).
func newRetention(admitted []string, read func(context.Context) (string, error), failed func(context.Context, error)) *watch {
	refused := func(why string) error {
		return apiError{http.StatusServiceUnavailable, "DataRetained", "this API asks nothing of a model while AWS may keep or share it otherwise than its setting dataRetentionModes admits: the account's data retention mode " + why + "; it answers again by itself"}
	}
	return &watch{unknown: refused("cannot be looked at"), failed: failed, look: func(ctx context.Context) error {
		mode, err := read(ctx)
		if err == nil && !slices.Contains(admitted, mode) {
			return refused(fmt.Sprintf("is %q, and not one of %s", short(mode), strings.Join(admitted, ", ")))
		}
		return err
	}}
}

func (b bedrock) dataRetention(ctx context.Context) (string, error) {
	var answer struct {
		Mode string `json:"mode"`
	}
	err := b.get(ctx, "/data-retention", &answer)
	return answer.Mode, err
}
