package apostille

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	freshFor         = 5 * time.Minute
	usableFor        = time.Hour        // through an outage of the issuer
	cooldown         = 30 * time.Second // between fetches for unknown key ids
	retryAfter       = 2 * time.Second  // between fetches that fail
	timeout          = 5 * time.Second
	maxDocumentBytes = 1 << 20
)

type remoteKeys struct {
	issuer string
	client *http.Client

	mu        sync.Mutex
	keys      keySet
	fetched   time.Time     // last success
	attempted time.Time     // last attempt: attempts are counted, or an outage is hammered
	failure   error         // of the last attempt
	asking    chan struct{} // closed when the fetch in flight is done; nil if there is none
}

// RemoteKeys returns the keys that issuer publishes. It asks at the first
// token, not before: a service may start while the issuer is down.
func RemoteKeys(issuer string) KeySource {
	refuse := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &remoteKeys{issuer: issuer, client: &http.Client{Timeout: timeout, CheckRedirect: refuse}}
}

func (r *remoteKeys) Key(ctx context.Context, kid string) (Key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key, known := r.keys[kid]
	if !known || time.Since(r.fetched) > freshFor {
		// While the issuer is out of reach stale keys serve at once. Otherwise
		// wait, so that a key that was withdrawn is refused in time.
		if asking := r.ask(known); asking != nil && (!known || r.failure == nil) {
			r.mu.Unlock()
			select {
			case <-asking:
			case <-ctx.Done():
			}
			r.mu.Lock()
		}
		key, known = r.keys[kid]
	}
	switch {
	case known && time.Since(r.fetched) <= usableFor:
		return key, nil
	case r.failure != nil:
		return Key{}, fmt.Errorf("%w: %v", ErrKeysUnavailable, r.failure)
	case ctx.Err() != nil:
		return Key{}, fmt.Errorf("%w: %v", ErrKeysUnavailable, ctx.Err())
	default:
		return Key{}, invalid("unknown_key")
	}
}

// ask starts a fetch, unless one is in flight or it is too early for another,
// and returns what tells its end.
func (r *remoteKeys) ask(known bool) <-chan struct{} {
	pause := cooldown
	if known || r.failure != nil {
		pause = retryAfter
	}
	if r.asking == nil && time.Since(r.attempted) >= pause {
		r.attempted, r.asking = time.Now(), make(chan struct{})
		// Not with the caller's context: what one gives up on, others wait for.
		go r.answer(r.asking)
	}
	return r.asking
}

func (r *remoteKeys) answer(done chan<- struct{}) {
	keys, err := r.fetch(context.Background())
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.keys, r.fetched = keys, time.Now()
	}
	r.failure, r.asking = err, nil
	close(done)
}

func (r *remoteKeys) fetch(ctx context.Context) (keySet, error) {
	issuer, err := url.Parse(r.issuer)
	if err != nil {
		return nil, err
	}
	// RFC 8414 section 3: the well-known path stands between host and path.
	address := *issuer
	address.Path = "/.well-known/oauth-authorization-server" + strings.TrimSuffix(issuer.Path, "/")
	document, err := r.get(ctx, address.String())
	if err != nil {
		return nil, err
	}
	var metadata struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(document, &metadata); err != nil {
		return nil, err
	}
	// Letter for letter, or one issuer could pass for another (section 3.3).
	if metadata.Issuer != r.issuer {
		return nil, errors.New("the metadata names another issuer")
	}
	if document, err = r.get(ctx, metadata.JWKSURI); err != nil {
		return nil, err
	}
	return readKeySet(document)
}

func (r *remoteKeys) get(ctx context.Context, address string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	switch host := request.URL.Hostname(); {
	case request.URL.Scheme == "https":
	case request.URL.Scheme == "http" && (host == "localhost" || host == "127.0.0.1" || host == "::1"):
	default:
		return nil, errors.New("keys come over HTTPS; http is for loopback alone")
	}
	response, err := r.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the issuer answers %s", response.Status)
	}
	document, err := io.ReadAll(io.LimitReader(response.Body, maxDocumentBytes+1))
	if err == nil && len(document) > maxDocumentBytes {
		err = errors.New("the document is too large")
	}
	return document, err
}
