/**
 * Keys of session tickets (RFC 5077, RFC 8446 4.6.1). The primary makes the secrets and changes them; every worker derives the
 * same keys from them. See ADR 10.
 */
import { hkdfSync, randomBytes } from 'node:crypto'

/** Base64 of 32 bytes each. */
export interface TicketSecrets {
  /** Name of the listener. */
  readonly listener: string
  readonly current: string
  /** Tickets of the period before are still taken; null in the first one. */
  readonly former: string | null
}

interface TicketKey {
  /** Stands in the ticket, readable: which key it is of. */
  readonly name: Buffer
  readonly mac: Buffer
  readonly cipher: Buffer
}

/** Node's form: what to do, key of HMAC-SHA-256, key of AES-128-CBC; for a new ticket also its name and IV. */
export type TicketAnswer =
  | readonly [number, Buffer, Buffer]
  | readonly [number, Buffer, Buffer, Buffer, Buffer]

const SECRET_BYTES = 32
/** What a ticket is taken for is followed by a new one: clients of TLS 1.3 use each of them once (RFC 8446, C.4). */
const [UNKNOWN, SEAL, GOOD_AND_RENEW] = [0, 1, 2]
/** Node asks for keys also where it will not use them. */
const NO_KEY = Buffer.alloc(16)

export function newTicketSecret(): string {
  return randomBytes(SECRET_BYTES).toString('base64')
}

/** The keys of one listener, as long as it trusts the same: a ticket says what was verified then, and nobody verifies it again. */
export class TicketKeys {
  readonly #trust: string
  #current: TicketKey
  #former: TicketKey | undefined

  /** `trust` stands for everything that decides whom a handshake lets in; with another one all keys are others. */
  constructor(trust: string, secrets: TicketSecrets) {
    this.#trust = trust
    this.#current = derive(secrets.current, trust)
    this.#former = secrets.former === null ? undefined : derive(secrets.former, trust)
  }

  rotate({ current, former }: TicketSecrets): void {
    this.#current = derive(current, this.#trust)
    this.#former = former === null ? undefined : derive(former, this.#trust)
  }

  /** For a new ticket. */
  seal(): TicketAnswer {
    const { name, mac, cipher } = this.#current
    return [SEAL, mac, cipher, name, randomBytes(16)]
  }

  /** For a ticket with the key of that name. One that is not ours means a full handshake, and is no error. */
  open(name: Buffer): TicketAnswer {
    const key = [this.#current, this.#former].find(each => each?.name.equals(name))
    return key === undefined ? [UNKNOWN, NO_KEY, NO_KEY] : [GOOD_AND_RENEW, key.mac, key.cipher]
  }
}

function derive(secret: string, trust: string): TicketKey {
  const info = `amt tls ticket ${trust}`
  const bytes = Buffer.from(hkdfSync('sha256', Buffer.from(secret, 'base64'), '', info, 64))
  return { name: bytes.subarray(0, 16), mac: bytes.subarray(16, 48), cipher: bytes.subarray(48) }
}
