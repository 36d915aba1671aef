//! The keys that bundles are signed with.

use std::fmt;
use std::io;

use base64ct::{Base64, Encoding as _};
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{
    DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, KeypairBytes,
};
use ed25519_dalek::{PUBLIC_KEY_LENGTH, SECRET_KEY_LENGTH, Signature, Signer as _, SigningKey, VerifyingKey};

/// Characters of an invalid key that an error repeats.
const MAX_SHOWN: usize = 64;

/// Why a text is not a key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// It is not a public key.
    #[error(
        "'{text}' is not an Ed25519 public key ({reason}); use what `ssr cache key FILE` prints, or what \
         `openssl pkey -pubout` prints for an Ed25519 key"
    )]
    Public {
        /// The beginning of the text.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It is a private key.
    #[error(
        "this is a private key, which belongs only on the machine that signs; `ssr cache key FILE` prints its \
         public key"
    )]
    NotPublic,
    /// It is not a private key.
    #[error(
        "it is not an unencrypted Ed25519 private key in PKCS#8 PEM ({0}); make one with `ssr cache key FILE`, or \
         with `openssl genpkey -algorithm ed25519`"
    )]
    Private(String),
}

/// A key that verifies signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Parses a key: its 32 bytes in base64, or PEM.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        if text.contains("PRIVATE KEY") {
            return Err(KeyError::NotPublic);
        }
        let refused = |reason: String| KeyError::Public { text: beginning(text), reason };
        let key = if text.starts_with("-----BEGIN") {
            // The decoder demands a newline after the last line.
            VerifyingKey::from_public_key_pem(&format!("{text}\n"))
                .map_err(|error| refused(error.to_string()))?
        } else {
            let mut bytes = [0; PUBLIC_KEY_LENGTH];
            let decoded = Base64::decode(text, &mut bytes).map(<[u8]>::len);
            if decoded != Ok(PUBLIC_KEY_LENGTH) {
                return Err(refused("it is not 32 bytes in base64".to_owned()));
            }
            VerifyingKey::from_bytes(&bytes).map_err(|error| refused(error.to_string()))?
        };
        match key.is_weak() {
            true => Err(refused("it is weak: anybody could sign for it".to_owned())),
            false => Ok(Self(key)),
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8; PUBLIC_KEY_LENGTH] {
        self.0.as_bytes()
    }

    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let signature = Signature::from_slice(signature);
        signature.is_ok_and(|signature| self.0.verify_strict(message, &signature).is_ok())
    }
}

fn beginning(text: &str) -> String {
    let shown: String = text.chars().take(MAX_SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_SHOWN).is_some() { format!("{shown}…") } else { shown }
}

/// In base64, the form of the node's configuration.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Base64::encode_string(self.as_bytes()))
    }
}

/// A key that signs.
pub struct PrivateKey(SigningKey);

impl PrivateKey {
    /// Generates a key.
    pub fn generate() -> io::Result<Self> {
        let mut secret = [0; SECRET_KEY_LENGTH];
        getrandom::fill(&mut secret).map_err(io::Error::other)?;
        Ok(Self(SigningKey::from_bytes(&secret)))
    }

    /// Parses what [`Self::to_pem`] or openssl has written.
    pub fn parse(pem: &str) -> Result<Self, KeyError> {
        let key = SigningKey::from_pkcs8_pem(pem);
        key.map(Self).map_err(|error| KeyError::Private(error.to_string()))
    }

    /// PKCS#8 in PEM, without the public key, which openssl cannot read.
    pub fn to_pem(&self) -> io::Result<String> {
        let bytes = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        let pem = bytes.to_pkcs8_pem(LineEnding::LF).map_err(io::Error::other)?;
        Ok(pem.as_str().to_owned())
    }

    /// The public key, which nodes trust.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs a message, such as a bundle up to its signature.
    pub fn sign(&self, message: &[u8]) -> [u8; Signature::BYTE_SIZE] {
        self.0.sign(message).to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 8410, in openssl's form.
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

    #[test]
    fn keys_in_openssls_form_are_read() {
        let public = PrivateKey::parse(PRIVATE).unwrap().public();
        assert_eq!(PublicKey::parse(PUBLIC).unwrap(), public);
        assert_eq!(PublicKey::parse(PUBLIC.trim()).unwrap(), public);
        assert_eq!(PublicKey::parse(&format!(" {public}\n")).unwrap(), public);
    }

    #[test]
    fn a_new_key_is_read_back_and_written_in_openssls_form() {
        let key = PrivateKey::generate().unwrap();
        let pem = key.to_pem().unwrap();
        assert_eq!(PrivateKey::parse(&pem).unwrap().public(), key.public());
        assert_ne!(PrivateKey::generate().unwrap().public(), key.public());
        assert_eq!(PrivateKey::parse(PRIVATE).unwrap().to_pem().unwrap(), PRIVATE);
    }

    #[test]
    fn invalid_public_keys_are_named_and_private_ones_never_repeated() {
        let zeros = Base64::encode_string(&[0; 32]);
        for (text, says) in [
            ("", "32 bytes"),
            ("secret", "'secret'"),
            ("AAAA", "'AAAA' is not an Ed25519 public key (it is not 32 bytes"),
            (&*Base64::encode_string(&[1; 33]), "32 bytes"),
            (&*zeros, "anybody could sign"),
            ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "not an Ed25519 public key"),
        ] {
            let error = PublicKey::parse(text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        assert_eq!(PublicKey::parse(PRIVATE).unwrap_err(), KeyError::NotPublic);
        assert!(!PublicKey::parse(PRIVATE).unwrap_err().to_string().contains("MC4CAQ"));
    }

    #[test]
    fn invalid_private_keys_are_rejected() {
        for text in ["", "secret", PUBLIC, &PRIVATE.replace("VwBCIEI", "VwBCIEX")] {
            assert!(matches!(PrivateKey::parse(text), Err(KeyError::Private(_))), "{text}");
        }
    }
}
