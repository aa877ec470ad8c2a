import { ipv6Groups } from '../../codec/ip-address.ts'

export interface AdmissionLimits {
  /** Checks under way at once, in all. Each holds a token and a call. */
  readonly total: number
  /** Of one source address, while none of its signatures was wrong lately. */
  readonly source: number
  /** How many places a source gets back a second that it has lost by wrong signatures. */
  readonly regained: number
  /** Of one issuer, or of all issuers of one tenant. */
  readonly owner: number
}

/** Which limit a check met; `suspect`: that of a source that has lost places. */
export type AdmissionRefusal = 'worker' | 'source' | 'suspect' | 'issuer'

/** Sources that have lost places; the one that lost its first longest ago is forgotten for the next. */
const MAX_SUSPECTS = 8_192

interface Suspect {
  places: number
  atMs: number
}

/**
 * How many checks of tokens are under way at once. A check that is refused here says nothing about its token: the call is
 * to be tried again. Each wrong signature costs its source a place for a while, so that a flood of bad tokens soon costs
 * next to nothing. There is an entry for a source or owner only while a check of theirs is under way.
 */
export class CheckAdmission {
  readonly #limits: AdmissionLimits
  readonly #sources = new Map<string, number>()
  readonly #owners = new Map<string, number>()
  readonly #suspects = new Map<string, Suspect>()
  #total = 0

  constructor(limits: AdmissionLimits) {
    this.#limits = limits
  }

  get size(): number {
    return this.#total
  }

  /** Counts a check that begins, or says why it may not. `source`: of `sourceOf`; '' is not held to a limit of its own. */
  enter(source: string, owner: string, nowMs: number): AdmissionRefusal | undefined {
    if (this.#total >= this.#limits.total) return 'worker'
    const ofSource = source === '' ? 0 : (this.#sources.get(source) ?? 0)
    if (source !== '' && ofSource >= this.#placesOf(source, nowMs))
      return this.#suspects.has(source) ? 'suspect' : 'source'
    const ofOwner = this.#owners.get(owner) ?? 0
    // A source that asks for nothing else gets in: many tokens of one source must not keep all others from an issuer.
    if (ofOwner >= this.#limits.owner && (source === '' || ofSource > 0)) return 'issuer'
    this.#total += 1
    if (source !== '') this.#sources.set(source, ofSource + 1)
    this.#owners.set(owner, ofOwner + 1)
    return undefined
  }

  /** A check that was let in has ended. */
  leave(source: string, owner: string): void {
    this.#total -= 1
    decrement(this.#sources, source)
    decrement(this.#owners, owner)
  }

  /** So many signatures of a source were wrong. */
  failed(source: string, signatures: number, nowMs: number): void {
    if (source === '' || signatures === 0) return
    this.#placesOf(source, nowMs)
    const left = this.#suspects.get(source)?.places ?? this.#limits.source
    const places = Math.max(0, left - signatures)
    if (!this.#suspects.has(source) && this.#suspects.size >= MAX_SUSPECTS) {
      for (const first of this.#suspects.keys()) {
        this.#suspects.delete(first)
        break
      }
    }
    this.#suspects.set(source, { places, atMs: nowMs })
  }

  #placesOf(source: string, nowMs: number): number {
    const suspect = this.#suspects.get(source)
    if (suspect === undefined) return this.#limits.source
    // A clock that was set back gives nothing, and is gone by from then on.
    const regained = (Math.max(0, nowMs - suspect.atMs) / 1_000) * this.#limits.regained
    suspect.atMs = nowMs
    suspect.places += regained
    if (suspect.places < this.#limits.source) return Math.floor(suspect.places)
    this.#suspects.delete(source)
    return this.#limits.source
  }
}

function decrement(counts: Map<string, number>, key: string): void {
  const count = counts.get(key)
  if (count === undefined) return
  if (count <= 1) counts.delete(key)
  else counts.set(key, count - 1)
}

/** What counts as one source: an IPv4 address; of IPv6 the /64, since who has one address there has all of them. */
export function sourceOf(address: string): string {
  if (!address.includes(':')) return address
  const zone = address.indexOf('%')
  const groups = ipv6Groups(zone < 0 ? address : address.slice(0, zone))
  return groups === undefined ? address : groups.slice(0, 4).join(':')
}
