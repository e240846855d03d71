package apostille

import (
	"context"
	"errors"
	"time"
)

// Algorithms are those of contract v1.
var Algorithms = []string{"ES256", "RS256", "PS256", "EdDSA", "Ed25519"}

// Config says what a token must be to be accepted.
type Config struct {
	Issuer     string           // compared with "iss" letter for letter
	Audience   []string         // of these "aud" must name at least one
	Keys       KeySource        // RemoteKeys(issuer) or StaticKeys(document)
	Algorithms []string         // the allow-list; nil for Algorithms
	Leeway     time.Duration    // how far two clocks may differ; 30 seconds are usual
	Now        func() time.Time // nil for time.Now
	// Signature verifies with a library: WithJWT (nil for that) or WithOIDC.
	Signature func(ctx context.Context, token string, key Key, config *Config) error
}

// Verifier verifies access tokens. It is safe for concurrent use.
type Verifier struct{ config Config }

// NewVerifier returns a Verifier, or an error where config leaves a check open.
func NewVerifier(config Config) (*Verifier, error) {
	if config.Issuer == "" || len(config.Audience) == 0 || config.Keys == nil {
		return nil, errors.New("apostille: name issuer, audience and keys")
	}
	if config.Algorithms == nil {
		config.Algorithms = Algorithms
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Signature == nil {
		config.Signature = WithJWT
	}
	return &Verifier{config}, nil
}

// Verify returns the claims of token, a compact JWS without "Bearer". It returns
// an *InvalidToken if the token must not be accepted, and an error that wraps
// ErrKeysUnavailable if the issuer could not be asked. It does not check
// permissions: ask a Requirement.
func (v *Verifier) Verify(ctx context.Context, token string) (*Claims, error) {
	header, err := readHeader(token, v.config.Algorithms)
	if err != nil {
		return nil, err
	}
	key, err := v.config.Keys.Key(ctx, header.kid)
	if err != nil {
		return nil, err
	}
	if !contains(key.algorithms, header.algorithm) {
		return nil, invalid("algorithm_not_allowed")
	}
	if err := v.config.Signature(ctx, token, key, &v.config); err != nil {
		return nil, err
	}
	payload, err := readPayload(token)
	if err != nil {
		return nil, err
	}
	policy := policy{v.config.Issuer, v.config.Audience, v.config.Leeway}
	return policy.accept(payload, v.config.Now())
}
