/**
 * What the files of a listener's TLS hold, as text: read and checked by the primary, which says it to the workers. So all of
 * them have the same, whatever is written to the files meanwhile.
 */
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { readPemCertificates } from '../../config/pem-certificates.ts'
import type { Config, ListenerConfig } from '../../config/schema.ts'
import { certificateSubject, revocationListFields } from '../../runtime/certificates/der.ts'
import { derOf, revocationListsIn } from '../../runtime/certificates/revocation-lists.ts'
import { createContexts } from './tls-contexts.ts'

export type ListenerTls = NonNullable<ListenerConfig['tls']>

/** All PEM. */
export interface TlsMaterial {
  /** Name of the listener. */
  readonly listener: string
  /** As they stand in the configuration; `cert` is a whole chain. */
  readonly certificates: readonly { readonly cert: string; readonly key: string }[]
  /** One certificate each. */
  readonly authorities: readonly string[]
  /** For each of them, in the same order, the trust domain whose SPIFFE ids it may sign; null: none. */
  readonly trustDomains: readonly (string | null)[]
  /** One list each. */
  readonly revocationLists: readonly string[]
}

export type ReadMaterial =
  | { readonly material: TlsMaterial }
  /** Whole sentences. */
  | { readonly problems: readonly string[] }

/** Authorities for client certificates that do not stand in the `tls` of a listener. */
export interface FurtherAuthorities {
  /** The trust domain that those in `clientCa` speak for; `undefined`: none. */
  readonly clientCaDomain: string | undefined
  readonly files: readonly { readonly file: string; readonly trustDomain: string }[]
}

const NO_FURTHER: FurtherAuthorities = { clientCaDomain: undefined, files: [] }

/**
 * Reads and checks everything that the listener's TLS names. The authorities of `further` are trusted to sign client
 * certificates, too.
 */
export function readTlsMaterial(
  { name, tls }: { readonly name: string; readonly tls: ListenerTls },
  further: FurtherAuthorities = NO_FURTHER,
): ReadMaterial {
  const reader = new MaterialReader()
  const asked = tls.clientCertificate !== 'off'
  const material: TlsMaterial = {
    listener: name,
    certificates: tls.certificates.map(files => reader.pair(files)),
    ...(asked
      ? reader.authorities(tls.clientCa ?? [], further)
      : { authorities: [], trustDomains: [] }),
    revocationLists: asked ? reader.revocationLists(tls.crl) : [],
  }
  if (reader.problems.length === 0) reader.check(() => createContexts(material))
  const { problems } = reader
  return problems.length === 0
    ? { material }
    : { problems: problems.map(problem => `listener "${name}": ${problem}`) }
}

/** Those of the trust domains, for all listeners that ask for certificates. */
export function furtherAuthorities({
  authentication: { spiffe },
}: Pick<Config, 'authentication'>): FurtherAuthorities {
  const domains = spiffe?.trustDomains ?? []
  return {
    clientCaDomain: spiffe?.trustDomain,
    files: domains.flatMap(({ name, ca }) =>
      ca === undefined ? [] : [{ file: ca, trustDomain: name }],
    ),
  }
}

/** Every file that `tls` names; a change of any of them may change the material. */
export function filesOf(tls: ListenerTls, further: FurtherAuthorities = NO_FURTHER): string[] {
  const pairs = tls.certificates.flatMap(({ cert, key }) => [cert, key])
  return [...pairs, ...(tls.clientCa ?? []), ...further.files.map(({ file }) => file), ...tls.crl]
}

/**
 * Names of authorities without a revocation list of their own, where there are lists at all: OpenSSL refuses their certificates.
 */
export function authoritiesWithoutList({ authorities, revocationLists }: TlsMaterial): string[] {
  if (revocationLists.length === 0) return []
  const issuers = new Set(revocationLists.map(pem => revocationListFields(derOf(pem))?.issuer))
  return authorities
    .filter(pem => !issuers.has(certificateSubject(derOf(pem))))
    .map(pem => (new X509Certificate(pem).subject ?? '').replaceAll('\n', ', '))
}

class MaterialReader {
  readonly problems: string[] = []

  /** A certificate and the key that belongs to it. */
  pair({
    cert,
    key,
  }: {
    readonly cert: string
    readonly key: string
  }): TlsMaterial['certificates'][number] {
    const chain = this.#read(cert)
    const pair = { cert: chain.toString('latin1'), key: this.#read(key).toString('latin1') }
    if (this.problems.length > 0) return pair
    const found = readPemCertificates(pair.cert)
    if (typeof found === 'string') this.problems.push(`${cert} ${found}`)
    else
      this.check(() => {
        createContexts({ certificates: [pair], authorities: [], revocationLists: [] })
      }, `${cert} and ${key}`)
    return pair
  }

  authorities(
    clientCa: readonly string[],
    { clientCaDomain, files }: FurtherAuthorities,
  ): Pick<TlsMaterial, 'authorities' | 'trustDomains'> {
    const domains = new Map<string, string | null>()
    const own = clientCa.map(file => ({ file, trustDomain: clientCaDomain ?? null }))
    for (const { file, trustDomain } of [...own, ...files]) {
      for (const pem of this.#certificates(file)) {
        const former = domains.get(pem) ?? null
        // An authority may stand in `clientCa` as well; but one that speaks for two trust domains binds neither.
        if (former !== null && trustDomain !== null && former !== trustDomain)
          this.problems.push(
            `an authority in ${file} would speak for the trust domains ${former} and ${trustDomain}`,
          )
        domains.set(pem, trustDomain ?? former)
      }
    }
    return { authorities: [...domains.keys()], trustDomains: [...domains.values()] }
  }

  #certificates(file: string): string[] {
    const found = readPemCertificates(this.#read(file).toString('latin1'))
    if (typeof found !== 'string') return found.map(String)
    this.problems.push(`${file} ${found}`)
    return []
  }

  revocationLists(files: readonly string[]): string[] {
    return files.flatMap(file => {
      const found = revocationListsIn(this.#read(file))
      if (found === undefined)
        this.problems.push(`${file} holds no revocation list that can be read`)
      return found ?? []
    })
  }

  check(attempt: () => unknown, what = 'its TLS files'): void {
    try {
      attempt()
    } catch (error) {
      this.problems.push(`${what} cannot be used: ${(error as Error).message}`)
    }
  }

  #read(file: string): Buffer {
    try {
      const bytes = readFileSync(file)
      if (bytes.length === 0) this.problems.push(`${file} is empty`)
      return bytes
    } catch (error) {
      this.problems.push(`${file} cannot be read: ${(error as Error).message}`)
      return Buffer.alloc(0)
    }
  }
}
