/**
 * By what credential a call was let in, as the access log names it: its kind and an id, never the credential. It is found
 * out once a credential and remembered.
 */
import { hash } from 'node:crypto'
import type { CallEvidence } from '../credential/call-evidence.ts'
import type { ClientCertificate } from '../credential/client-certificate.ts'
import { readUnverified } from '../credential/unverified-jwt.ts'
import { type CacheLimits, VerifiedCache } from '../credential/verified-cache.ts'
import { quoted } from './line.ts'

const CACHE: CacheLimits = { maxEntries: 4_096, maxKeyBytes: 4 * 1024 * 1024 }
const MOST_ID_CHARS = 128
/** As the admin server shows it: enough to find a key among those of the configuration. */
const DIGEST_DIGITS = 8
const BEARER_CHARS = 'bearer '.length
const API_KEY_CHARS = 'apikey '.length

/** Credentials of a call as they came, '' where there is none. */
export interface SentCredentials {
  readonly authorization: string
  readonly apiKey: string
}

export class CredentialNames {
  readonly #claim: string
  readonly #tokens = new VerifiedCache<string>(CACHE)
  readonly #keys = new VerifiedCache<string>(CACHE)

  /** `claim`: the claim that is the id of a token, or `off`. */
  constructor(claim: string) {
    this.#claim = claim
  }

  /** Part of an object: `,"credential":"apiKey","credentialId":"2c26b46b"`, or '' where none was good. */
  of(evidence: CallEvidence, { authorization, apiKey }: SentCredentials): string {
    const ofConnection = this.ofConnection(evidence)
    if (ofConnection !== '') return ofConnection
    if (typeof evidence.jwt === 'object') return this.#token(authorization)
    if (typeof evidence.fieldKey === 'object') return this.#key(apiKey, 0)
    if (typeof evidence.schemeKey === 'object') return this.#key(authorization, API_KEY_CHARS)
    return ''
  }

  /** The same of a connection, whose own is its certificate alone: what else is in the evidence came with one of its calls. */
  ofConnection({ certificate, certificateTenant }: CallEvidence): string {
    return certificate !== undefined && typeof certificateTenant === 'object'
      ? certificateName(certificate)
      : ''
  }

  #token(authorization: string): string {
    const known = this.#tokens.get(authorization)
    if (known !== undefined) return known
    const name = part('jwt', this.#idOf(authorization.slice(BEARER_CHARS).trim()))
    this.#tokens.set(authorization, name)
    return name
  }

  /** Its signature was good, and so its claims are true. */
  #idOf(token: string): string {
    if (this.#claim === 'off') return ''
    const claims = readUnverified(token)?.claims ?? {}
    const id = Object.hasOwn(claims, this.#claim) ? claims[this.#claim] : undefined
    return typeof id === 'string' || typeof id === 'number' ? String(id) : ''
  }

  #key(text: string, from: number): string {
    const known = this.#keys.get(text)
    if (known !== undefined) return known
    const digest = hash('sha256', Buffer.from(text.slice(from).trim(), 'latin1'), 'hex')
    const name = part('apiKey', digestName(digest))
    this.#keys.set(text, name)
    return name
  }
}

function certificateName({ spiffeId, digest }: ClientCertificate): string {
  return part('certificate', spiffeId ?? digestName(digest))
}

function digestName(digest: string): string {
  return digest.slice(0, DIGEST_DIGITS)
}

function part(kind: 'certificate' | 'jwt' | 'apiKey', id: string): string {
  return `,"credential":"${kind}","credentialId":${quoted(id.slice(0, MOST_ID_CHARS))}`
}
