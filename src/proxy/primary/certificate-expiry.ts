/** Certificates that expire soon: said in the log when they are read and once a day from then on, and in the metrics always. */
import { X509Certificate } from 'node:crypto'
import type { Clock } from '../../core/clock.ts'
import { certificateSubject, revocationListFields } from '../../runtime/certificates/der.ts'
import { derOf } from '../../runtime/certificates/revocation-lists.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { TlsMaterial } from '../listener/tls-material.ts'
import type { Expiry } from './tls-metrics.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** What lives for days only is not late for most of its life. */
const SHARE_OF_LIFE = 1 / 4
/** Lines at once; the metrics have the rest. */
const MOST_LINES = 50
const MOST_NAME_CHARS = 100

interface Watched extends Expiry {
  /** When it is to be told from then on. */
  readonly tellFrom: number
}

export interface CertificateExpiryOptions {
  readonly clock: Clock
  readonly logger: Logger
}

export class CertificateExpiry {
  readonly #options: CertificateExpiryOptions
  readonly #timer: NodeJS.Timeout
  #watched: readonly Watched[] = []
  /** When each was told last. */
  #told = new Map<string, number>()

  constructor(options: CertificateExpiryOptions) {
    this.#options = options
    this.#timer = setInterval(() => this.look(), HOUR_MS)
  }

  /** These are in force now. `warnings`: how long before the end each listener wants to be told. Returns all ends. */
  update(
    materials: readonly TlsMaterial[],
    warnings: ReadonlyMap<string, number>,
  ): readonly Expiry[] {
    this.#watched = materials
      .flatMap(material => watchedOf(material, warnings.get(material.listener) ?? 0))
      .toSorted((a, b) => a.at - b.at)
    const known = new Set(this.#watched.map(keyOf))
    this.#told = new Map([...this.#told].filter(([key]) => known.has(key)))
    this.look()
    return this.#watched
  }

  /** Tells what is to be told, and has not been within a day. */
  look(): void {
    const now = this.#options.clock.now()
    const due = this.#watched.filter(
      each => now >= each.tellFrom && now - (this.#told.get(keyOf(each)) ?? 0) >= DAY_MS,
    )
    for (const each of due.slice(0, MOST_LINES)) {
      this.#told.set(keyOf(each), now)
      this.#tell(each, now)
    }
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #tell({ listener, kind, name, serial, at }: Watched, now: number): void {
    const { logger } = this.#options
    const expires = new Date(at).toISOString()
    const facts = { listener, kind, name, serial, expires }
    if (now >= at) logger.error(facts, EXPIRED[kind])
    else logger.warn({ ...facts, days: Math.floor((at - now) / DAY_MS) }, EXPIRES[kind])
  }
}

const EXPIRES = {
  certificate: 'the certificate of a listener expires soon',
  authority: 'an authority for client certificates expires soon',
  revocation_list:
    'a revocation list expires soon; then all certificates of its authority are refused',
} as const

const EXPIRED = {
  certificate: 'the certificate of a listener has expired',
  authority: 'an authority for client certificates has expired; its certificates are refused',
  revocation_list: 'a revocation list has expired; all certificates of its authority are refused',
} as const

function keyOf({ listener, kind, name, serial, at }: Expiry): string {
  return [listener, kind, name, serial, at].join('\0')
}

function watchedOf(
  { listener, certificates, authorities, revocationLists }: TlsMaterial,
  warning: number,
): Watched[] {
  const until = (from: number, at: number): number =>
    at - Math.min(warning, (at - from) * SHARE_OF_LIFE)
  const ofCertificate = (kind: Expiry['kind'], pem: string): Watched => {
    const certificate = new X509Certificate(pem)
    const at = certificate.validToDate.getTime()
    const tellFrom = until(certificate.validFromDate.getTime(), at)
    const serial = certificate.serialNumber.toLowerCase()
    return { listener, kind, name: nameOf(certificate), serial, at, tellFrom }
  }
  const names = new Map(
    authorities.map(pem => [certificateSubject(derOf(pem)), nameOf(new X509Certificate(pem))]),
  )
  const ofLists = revocationLists.flatMap((pem): Watched[] => {
    const { issuer, thisUpdate, nextUpdate: at } = revocationListFields(derOf(pem)) ?? {}
    if (thisUpdate === undefined || at === undefined) return []
    const name = names.get(issuer) ?? ''
    return [
      { listener, kind: 'revocation_list', name, serial: '', at, tellFrom: until(thisUpdate, at) },
    ]
  })
  return [
    ...certificates.map(({ cert }) => ofCertificate('certificate', cert)),
    ...authorities.map(pem => ofCertificate('authority', pem)),
    ...ofLists,
  ]
}

/** The first name that it is for, else its subject. */
function nameOf({ subjectAltName, subject }: X509Certificate): string {
  const [, name] = /(?:DNS|URI|IP Address):([^,"]+)/.exec(subjectAltName ?? '') ?? []
  // A certificate without a subject has none at all here.
  return (name ?? (subject as string | undefined)?.replaceAll('\n', ', ') ?? '').slice(
    0,
    MOST_NAME_CHARS,
  )
}
