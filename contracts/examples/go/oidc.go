package apostille

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"strings"

	oidc "github.com/coreos/go-oidc"
	jose "gopkg.in/square/go-jose.v2"
)

// OIDCAlgorithms are those that WithOIDC can verify: go-jose does not know
// Ed25519 under its new name (RFC 9864), EdDSA it does.
var OIDCAlgorithms = []string{"ES256", "RS256", "PS256", "EdDSA"}

// oneKey is a key set for go-oidc; which key a token means has been decided.
type oneKey struct {
	public interface{}
	asked  bool
}

func (k *oneKey) VerifySignature(_ context.Context, token string) ([]byte, error) {
	k.asked = true
	jws, err := jose.ParseSigned(token)
	if err != nil {
		return nil, err
	}
	signature := jws.Signatures[0]
	if public, isRSA := k.public.(*rsa.PublicKey); isRSA && signature.Header.Algorithm == "PS256" {
		// go-jose takes a salt of any length; RFC 7518 section 3.5 names one.
		digest := sha256.Sum256([]byte(token[:strings.LastIndexByte(token, '.')]))
		salted := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
		err := rsa.VerifyPSS(public, crypto.SHA256, digest[:], signature.Signature, salted)
		if err != nil {
			return nil, err
		}
	}
	return jws.Verify(k.public)
}

// WithOIDC verifies signatures with github.com/coreos/go-oidc, for those who
// use it already. Set Config.Algorithms to OIDCAlgorithms.
func WithOIDC(ctx context.Context, token string, key Key, config *Config) error {
	keys := &oneKey{public: key.Public}
	verifier := oidc.NewVerifier(config.Issuer, keys, &oidc.Config{
		SupportedSigningAlgs: config.Algorithms,
		// It is made for ID tokens, checks claims before the signature, and
		// knows one audience and no leeway: claims.go checks them after it.
		SkipIssuerCheck:   true,
		SkipClientIDCheck: true,
		SkipExpiryCheck:   true,
	})
	_, err := verifier.Verify(ctx, token)
	switch {
	case err == nil:
		return nil
	case keys.asked:
		return invalid("bad_signature")
	}
	// It could not read the payload, and has not looked at the signature.
	if _, err := readPayload(token); err != nil {
		return err
	}
	return invalid("invalid_claim")
}
