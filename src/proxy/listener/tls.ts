/** TLS on a listener: certificates by SNI, client certificates, ALPN. It makes contexts; sockets belong to others. */
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createSecureContext, type SecureContext, type TlsOptions } from 'node:tls'
import type { ListenerConfig } from '../../config/schema.ts'
import { TLS_POLICY } from '../../runtime/certificates/tls-policy.ts'

type ListenerTls = NonNullable<ListenerConfig['tls']>

/** Reads the files of a listener. Throws the first problem of a file, with its path: they were there when the configuration was checked. */
export function serverTlsOptions(tls: ListenerTls, handshakeTimeout: number): TlsOptions {
  const ca = tls.clientCa === undefined ? undefined : readFileSync(tls.clientCa)
  const shared = {
    ...TLS_POLICY,
    ...(ca === undefined ? {} : { ca }),
  } as const
  const contexts = new CertificateNames()
  const pairs = tls.certificates.map(files => ({
    cert: readFileSync(files.cert),
    key: readFileSync(files.key),
  }))
  for (const pair of pairs) contexts.add(pair.cert, createSecureContext({ ...shared, ...pair }))
  return {
    ...shared,
    ...pairs[0],
    handshakeTimeout,
    honorCipherOrder: true,
    requestCert: tls.clientCertificate !== 'off',
    // An optional certificate that does not verify is refused after the handshake, where it can be told from none.
    rejectUnauthorized: tls.clientCertificate === 'required',
    SNICallback: (name, done) => done(null, contexts.find(name)),
    ALPNCallback: ({ protocols }) => chooseProtocol(protocols),
  }
}

/**
 * HTTP/1.1 where it is offered; a protocol that we only carry is the client's own business. A client that speaks nothing
 * but HTTP/2 gets the alert `no_application_protocol` (RFC 7301 §3.2).
 */
export function chooseProtocol(offered: readonly string[]): string | undefined {
  if (offered.includes('http/1.1')) return 'http/1.1'
  return offered.find(protocol => protocol !== 'h2')
}

/** Which context serves a name: exact before wildcard, the first certificate with the name before later ones. */
class CertificateNames {
  readonly #contexts = new Map<string, SecureContext>()
  #fallback: SecureContext | undefined

  add(pem: Buffer, context: SecureContext): void {
    this.#fallback ??= context
    for (const name of dnsNames(new X509Certificate(pem))) {
      if (!this.#contexts.has(name)) this.#contexts.set(name, context)
    }
  }

  find(name: string): SecureContext | undefined {
    const lower = name.toLowerCase()
    const dot = lower.indexOf('.')
    return this.#contexts.get(lower) ?? this.#contexts.get(`*${lower.slice(dot)}`) ?? this.#fallback
  }
}

function dnsNames(certificate: X509Certificate): string[] {
  const names = certificate.subjectAltName?.match(/DNS:[^,"]+/g) ?? []
  return names.map(name => name.slice('DNS:'.length).trim().toLowerCase())
}
