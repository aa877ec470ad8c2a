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
  /** One list each. */
  readonly revocationLists: readonly string[]
}

export type ReadMaterial =
  | { readonly material: TlsMaterial }
  /** Whole sentences. */
  | { readonly problems: readonly string[] }

/**
 * Reads and checks everything that the listener's TLS names. `further` are files beside `clientCa`, PEM as well:
 * their authorities are trusted to sign client certificates, too.
 */
export function readTlsMaterial(
  { name, tls }: { readonly name: string; readonly tls: ListenerTls },
  further: readonly string[] = [],
): ReadMaterial {
  const reader = new MaterialReader()
  const asked = tls.clientCertificate !== 'off'
  const material: TlsMaterial = {
    listener: name,
    certificates: tls.certificates.map(files => reader.pair(files)),
    authorities: asked ? reader.authorities([...(tls.clientCa ?? []), ...further]) : [],
    revocationLists: asked ? reader.revocationLists(tls.crl) : [],
  }
  if (reader.problems.length === 0) reader.check(() => createContexts(material))
  const { problems } = reader
  return problems.length === 0
    ? { material }
    : { problems: problems.map(problem => `listener "${name}": ${problem}`) }
}

/**
 * Files with authorities for client certificates beside the listeners' own `clientCa`, for all listeners that ask for
 * certificates: those of the trust domains.
 */
export function furtherAuthorities({ authentication }: Pick<Config, 'authentication'>): string[] {
  return authentication.spiffe?.trustDomains.flatMap(({ ca }) => ca ?? []) ?? []
}

/** Every file that `tls` names; a change of any of them may change the material. */
export function filesOf(tls: ListenerTls, further: readonly string[] = []): string[] {
  const pairs = tls.certificates.flatMap(({ cert, key }) => [cert, key])
  return [...pairs, ...(tls.clientCa ?? []), ...further, ...tls.crl]
}

/**
 * Names of authorities without a revocation list of their own, where there are lists at all: OpenSSL refuses their certificates.
 */
export function authoritiesWithoutList({ authorities, revocationLists }: TlsMaterial): string[] {
  if (revocationLists.length === 0) return []
  const issuers = new Set(revocationLists.map(pem => revocationListFields(derOf(pem))?.issuer))
  return authorities
    .filter(pem => !issuers.has(certificateSubject(derOf(pem))))
    .map(pem => new X509Certificate(pem).subject.replaceAll('\n', ', '))
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

  authorities(files: readonly string[]): string[] {
    return files.flatMap(file => {
      const found = readPemCertificates(this.#read(file).toString('latin1'))
      if (typeof found !== 'string') return found.map(String)
      this.problems.push(`${file} ${found}`)
      return []
    })
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
