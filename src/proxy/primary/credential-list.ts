/** The credentials of a tenant as the admin server shows them. */
import type { CredentialConfig } from '../../config/schema.ts'

const DIGEST_PREFIX = 'sha256:'
/** Enough to tell the keys of a tenant apart, and to find one in the configuration. */
const SHOWN_DIGITS = 8

/** The first digits of `sha256:<hex>`. */
export function shortDigest(digest: string): string {
  return digest.slice(DIGEST_PREFIX.length, DIGEST_PREFIX.length + SHOWN_DIGITS)
}

/** `lastUse` tells of a digest (hexadecimal) when its key was last used, in ms since the epoch. */
export function credentialList(
  credentials: readonly CredentialConfig[],
  lastUse: (digest: string) => number | undefined,
): object[] {
  return credentials.map(credential => {
    if ('apiKey' in credential) {
      const { apiKey, label, expires } = credential
      const used = lastUse(apiKey.slice(DIGEST_PREFIX.length))
      return {
        kind: 'apiKey',
        label: label ?? null,
        digest: shortDigest(apiKey),
        expires: expires ?? null,
        lastUsed: used === undefined ? null : new Date(used).toISOString(),
      }
    }
    if ('certificate' in credential)
      return { kind: 'certificate', digest: shortDigest(credential.certificate) }
    const [[kind, value] = []] = Object.entries(credential)
    return { kind, value }
  })
}
