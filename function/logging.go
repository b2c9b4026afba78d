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
	// checkInterval is the interval between checks while a setting is correct. Until the next check, a wrong setting
	// isn't noticed.
	checkInterval = time.Minute
	// recheckInterval is the interval between checks while a setting is wrong.
	recheckInterval = 5 * time.Second
	checkTimeout    = 5 * time.Second
	// graceAfterFailure is how long the last good result counts when later checks are throttled, fail or time out.
	// Bedrock throttles reads of settings, and every instance of the function reads them.
	graceAfterFailure = 5 * time.Minute
)

// watch checks a setting of the account at most once a minute. While the setting is wrong, the function calls no model.
type watch struct {
	look       func(context.Context) error  // returns an apiError if the setting is wrong
	unknown    error                        // the result after the setting couldn't be read for too long
	logFailure func(context.Context, error) // logs why the setting couldn't be read

	mu      sync.Mutex
	checked time.Time // the last check
	correct time.Time // the last check that found the setting correct
	result  error     // nil if the setting is correct
}

// check returns nil if the setting is correct. It reads the setting if the last check is too old.
func (w *watch) check(ctx context.Context, now time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	interval := recheckInterval
	if w.result == nil {
		interval = checkInterval
	}
	if !w.checked.IsZero() && now.Sub(w.checked) < interval {
		return w.result
	}
	w.checked = now
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	err := w.look(ctx)
	var wrong apiError
	switch {
	case err == nil:
		w.correct, w.result = now, nil
	case errors.As(err, &wrong):
		w.result = wrong
	default:
		w.logFailure(ctx, err)
		if isPermanent(err) || now.Sub(w.correct) >= graceAfterFailure { // always, if the setting was never correct
			w.result = w.unknown
		}
	}
	return w.result
}

// isPermanent reports whether retrying can't help because Bedrock refuses the request, for example after the function's
// role lost the permission.
func isPermanent(err error) bool {
	var refused *bedrockError
	return errors.As(err, &refused) && refused.status/100 == 4 && refused.status != http.StatusTooManyRequests && refused.status != http.StatusRequestTimeout &&
		bedrockErrors[refused.code].Status != http.StatusTooManyRequests // AWS services return 400 for some throttles
}

// destination is where Bedrock delivers invocation records (Bedrock API Reference, LoggingConfig). Two equal values
// mean the same place and the same role.
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

// parseDestination reads the environment's destination. If empty, the function accepts any destination.
func parseDestination(config string) (d destination, err error) {
	if config == "" {
		return d, nil
	}
	decoder := json.NewDecoder(bytes.NewReader([]byte(config)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil || d == (destination{}) {
		return d, fmt.Errorf(contract.EnvLoggingConfiguration+": got %q, must contain cloudWatchConfig, s3Config or both, "+
			"in the format of Bedrock's LoggingConfig, or be empty: %v", config, err)
	}
	return d, nil
}

// loggingConfig is the response of GetModelInvocationLoggingConfiguration (Bedrock API Reference, LoggingConfig). If
// LoggingConfig is nil, logging is off.
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

// get reads a setting of the account.
func (b bedrock) get(ctx context.Context, path string, into any) error {
	response, err := b.send(ctx, http.MethodGet, b.control+path, http.Header{}, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return json.NewDecoder(response.Body).Decode(into)
}

func unlogged(what string) error {
	return apiError{http.StatusServiceUnavailable, "NotLogged", "Bedrock invocation logging " + what + ", so calls are refused; service resumes automatically when logging is restored"}
}

// check returns an error that says what is wrong with the configuration.
func (c loggingConfig) check(want destination) error {
	l := c.LoggingConfig
	if l == nil || l.S3Config.BucketName == "" && l.CloudWatchConfig.LogGroupName == "" {
		return unlogged("is off")
	}
	for _, kind := range []*bool{l.TextDataDeliveryEnabled, l.ImageDataDeliveryEnabled, l.EmbeddingDataDeliveryEnabled, l.VideoDataDeliveryEnabled} {
		if kind != nil && !*kind {
			return unlogged("omits some kinds of data")
		}
	}
	if want != (destination{}) && l.destination != want {
		return unlogged("differs from the configuration that this API was deployed with")
	}
	return nil
}

// invocationLog checks whether Bedrock logs every prompt and response.
type invocationLog struct {
	watch
	required bool
	audio    atomic.Bool // whether the last configuration enabled delivery of audio
}

func newInvocationLog(required bool, want destination, read func(context.Context) (loggingConfig, error), logFailure func(context.Context, error)) *invocationLog {
	l := &invocationLog{required: required}
	l.watch = watch{unknown: unlogged("can't be read"), logFailure: logFailure, look: func(ctx context.Context) error {
		config, err := read(ctx)
		if err != nil {
			return err
		}
		// AWS doesn't document the default of the flag for audio, and the AWS provider can't set it.
		on := config.LoggingConfig
		l.audio.Store(on != nil && on.AudioDataDeliveryEnabled != nil && *on.AudioDataDeliveryEnabled)
		return config.check(want)
	}}
	return l
}

// check returns nil if Bedrock logs calls, or if logging isn't required.
func (l *invocationLog) check(ctx context.Context, now time.Time) error {
	if !l.required {
		return nil
	}
	return l.watch.check(ctx, now)
}

// keepsAudio reports whether Bedrock logs audio, or whether logging isn't required.
func (l *invocationLog) keepsAudio() bool { return !l.required || l.audio.Load() }

// unshared lists the data retention modes under which AWS doesn't share prompts and responses with a model's provider
// or other third parties (Bedrock User Guide, "Data retention").
var unshared = []string{"default", "none", "inherit"}

// newRetention returns a watch of the account's data retention mode (Bedrock API Reference, GetAccountDataRetention).
func newRetention(admitted []string, read func(context.Context) (string, error), logFailure func(context.Context, error)) *watch {
	refused := func(why string) error {
		return apiError{http.StatusServiceUnavailable, "DataRetained", "the account's data retention mode " + why + ", so calls are refused; service resumes automatically when the mode is one that this API's setting dataRetentionModes allows"}
	}
	return &watch{unknown: refused("can't be read"), logFailure: logFailure, look: func(ctx context.Context) error {
		mode, err := read(ctx)
		if err == nil && !slices.Contains(admitted, mode) {
			return refused(fmt.Sprintf("is %q, not one of %s", short(mode), strings.Join(admitted, ", ")))
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
