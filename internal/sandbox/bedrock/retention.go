package bedrock

import (
	"net/http"
	"regexp"
	"slices"
	"sync"
	"time"
)

// retention plays GetAccountDataRetention and PutAccountDataRetention, which moto lacks (Bedrock User Guide, "Data
// retention"). It keeps the mode only: no model of the sandbox shares anything.
type retention struct {
	mu      sync.Mutex
	mode    string // "" is never set
	updated time.Time
}

var (
	retentionPath  = regexp.MustCompile(`^/data-retention/?$`)
	retentionModes = []string{"default", "none", "provider_data_share", "inherit"} // Bedrock API Reference, DataRetentionMode
)

func (d *retention) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	controlPlane(w, r, func(_ string, in map[string]any) (status int, out map[string]any, err error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		switch r.Method {
		case http.MethodGet:
		case http.MethodPut:
			mode, _ := in["mode"].(string)
			if !slices.Contains(retentionModes, mode) {
				return 0, nil, invalidMember(in["mode"], "mode", "Member must satisfy enum value set: [default, none, provider_data_share, inherit]")
			}
			d.mode, d.updated = mode, time.Now()
		default:
			return 0, nil, fault{"ValidationException", r.Method + " is no operation on the account's data retention."}
		}
		if d.mode == "" { // "the default for new accounts and projects"
			return http.StatusOK, map[string]any{"mode": "inherit"}, nil
		}
		return http.StatusOK, map[string]any{"mode": d.mode, "updatedAt": isoTime(d.updated)}, nil
	})
}
