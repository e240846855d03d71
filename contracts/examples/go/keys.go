package apostille

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"

	jose "gopkg.in/square/go-jose.v2"
)

// Key is a public key that verifies one algorithm (RFC 8725 section 3.1).
type Key struct {
	Public     interface{}
	algorithms []string // one algorithm, under all its names
}

// KeySource finds the issuer's keys.
type KeySource interface {
	// Key returns the key with the given id. It returns an *InvalidToken if the
	// issuer has none, and an error that wraps ErrKeysUnavailable if it could
	// not be asked.
	Key(ctx context.Context, kid string) (Key, error)
}

type keySet map[string]Key

// StaticKeys returns the keys of a JWK Set that was handed over, for a service
// without a way to the issuer.
func StaticKeys(document []byte) (KeySource, error) { return readKeySet(document) }

func (keys keySet) Key(_ context.Context, kid string) (Key, error) {
	key, known := keys[kid]
	if !known {
		return Key{}, invalid("unknown_key")
	}
	return key, nil
}

// readKeySet returns the keys that may verify tokens. A bad key is left out on
// its own (go-jose would refuse the whole set); so are keys that share an id.
func readKeySet(document []byte) (keySet, error) {
	var published struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(document, &published); err != nil {
		return nil, err
	}
	if published.Keys == nil {
		return nil, errors.New("apostille: not a JWK Set (RFC 7517 section 5)")
	}
	keys, seen := keySet{}, map[string]bool{}
	for _, raw := range published.Keys {
		var members map[string]interface{}
		_ = json.Unmarshal(raw, &members)
		kid, _ := members["kid"].(string)
		key, usable := readKey(raw, members)
		if usable && !seen[kid] {
			keys[kid] = key
		} else {
			delete(keys, kid)
		}
		seen[kid] = true
	}
	return keys, nil
}

func readKey(raw []byte, members map[string]interface{}) (Key, bool) {
	var jwk jose.JSONWebKey
	if err := json.Unmarshal(raw, &jwk); err != nil || jwk.KeyID == "" || !isForVerifying(members) {
		return Key{}, false
	}
	var algorithms []string
	switch public := jwk.Key.(type) { // private and symmetric keys are of other types
	case *ecdsa.PublicKey:
		if public.Curve == elliptic.P256() {
			algorithms = []string{"ES256"}
		}
	case ed25519.PublicKey:
		algorithms = []string{"EdDSA", "Ed25519"} // old and new name (RFC 9864 section 2.2)
	case *rsa.PublicKey:
		strong := public.N.BitLen() >= 2048 && public.E >= 3
		if strong && (jwk.Algorithm == "RS256" || jwk.Algorithm == "PS256") {
			algorithms = []string{jwk.Algorithm}
		} else if strong && jwk.Algorithm == "" {
			algorithms = []string{"RS256"} // mandatory in RFC 9068 section 2.1
		}
	}
	if jwk.Algorithm != "" && !contains(algorithms, jwk.Algorithm) {
		return Key{}, false
	}
	return Key{jwk.Key, algorithms}, len(algorithms) > 0
}

// isForVerifying reads what go-jose does not: key_ops, and whether a public
// key is beside the secret one.
func isForVerifying(jwk map[string]interface{}) bool {
	for _, secret := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"} {
		if _, present := jwk[secret]; present {
			return false
		}
	}
	if use, present := jwk["use"]; present && use != "sig" {
		return false
	}
	operations, present := jwk["key_ops"]
	return !present || isStrings(operations) && contains(texts(operations), "verify")
}
