/**
 * What a tenant claims, found in its text without making objects of all of it: a worker that starts with 100,000 tenants spends a
 * third of its time on that. It knows what most tenants have; of others it says nothing, and `claimsOf` has the last word on all.
 */
import { type Claim, claimOfAddress, claimOfHost, claimOfSpiffeId } from './claims.ts'

export interface TextFacts {
  readonly id: string
  readonly claims: readonly Claim[]
}

const ID = '{"id":"'
const ADDRESS = ',"address":"'
const HOSTS = ',"hosts":['
const CREDENTIALS = ',"credentials":['
const DEPLOYMENT = ',"deployment":'
const API_KEY = '{"apiKey":"sha256:'
const CERTIFICATE = '{"certificate":"sha256:'
const SPIFFE = '{"spiffe":"'
const LABEL = ',"label":"'
const EXPIRES = ',"expires":"'
const HEX_DIGITS = 64
/** What stands behind `deployment` and says more of a tenant than it says here. */
const UNKNOWN = ['"passthrough":', '"handshakes":', '"disabled":'] as const

/** Of a text of `encodeTenant`, whose keys are in the order of the schema; undefined where there is anything uncommon in it. */
export function factsInText(text: string): TextFacts | undefined {
  if (text.includes('\\') || !text.startsWith(ID)) return undefined
  const scan = new Scan(text, ID.length)
  const id = scan.string()
  if (scan.takes(ADDRESS)) scan.claims.push(claimOfAddress(scan.string()))
  if (scan.takes(HOSTS)) scan.hosts()
  if (scan.takes(CREDENTIALS)) scan.credentials()
  if (!scan.takes(DEPLOYMENT) || UNKNOWN.some(key => text.includes(key, scan.at))) return undefined
  return { id, claims: scan.claims }
}

class Scan {
  readonly claims: Claim[] = []
  at: number
  readonly #text: string

  constructor(text: string, at: number) {
    this.#text = text
    this.at = at
  }

  /** Whether `piece` comes next, and is behind us now. */
  takes(piece: string): boolean {
    if (!this.#text.startsWith(piece, this.at)) return false
    this.at += piece.length
    return true
  }

  /** The rest of a string that has begun, without its quote. */
  string(): string {
    const start = this.at
    const end = this.#text.indexOf('"', start)
    this.at = end + 1
    return this.#text.slice(start, end)
  }

  hosts(): void {
    while (this.takes('"') || this.takes(',"')) this.claims.push(claimOfHost(this.string()))
    this.takes(']')
  }

  /** Stops at what it does not know, and then nothing that is known follows. */
  credentials(): void {
    do {
      if (this.takes(API_KEY)) {
        this.#digest('apiKeys')
        if (this.takes(LABEL)) this.string()
        if (this.takes(EXPIRES)) this.string()
      } else if (this.takes(CERTIFICATE)) this.#digest('certificates')
      else if (this.takes(SPIFFE)) this.claims.push(claimOfSpiffeId(this.string()))
      else return
      if (!this.takes('}')) return
    } while (this.takes(','))
    this.takes(']')
  }

  #digest(table: 'apiKeys' | 'certificates'): void {
    const key = this.#text.slice(this.at, this.at + HEX_DIGITS)
    this.at += HEX_DIGITS
    if (this.takes('"')) this.claims.push({ table, key })
  }
}
