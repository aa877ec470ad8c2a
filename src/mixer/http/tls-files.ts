/** The mixer's certificate, read again when its files change: certificates of workloads live for an hour. */
import { readFileSync } from 'node:fs'
import { createSecureContext, type TlsOptions } from 'node:tls'
import type { Config } from '../../config/schema.ts'
import { TLS_POLICY } from '../../runtime/certificates/tls-policy.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { MixerServer } from './server.ts'

type TlsConfig = NonNullable<Config['mixer']['tls']>

const LOOK_MS = 10_000

export interface TlsFiles extends TlsOptions {
  readonly cert: Buffer
  readonly key: Buffer
  readonly ca?: Buffer
}

/**
 * Throws where a file cannot be read or used, or key and certificate do not fit. With `clientCa` callers are asked for a certificate; one that does not
 * verify is for the recovery of identities to refuse, where it can be told from none.
 */
export function readTlsFiles({ cert, key, clientCa }: TlsConfig): TlsFiles {
  const files = {
    ...TLS_POLICY,
    honorCipherOrder: true,
    cert: readFileSync(cert),
    key: readFileSync(key),
    ...(clientCa === undefined ? {} : { ca: readFileSync(clientCa) }),
    requestCert: clientCa !== undefined,
    rejectUnauthorized: false,
    ALPNProtocols: ['http/1.1'],
  }
  createSecureContext(files)
  return files
}

export interface FollowOptions {
  readonly files: TlsConfig
  /** What the server has now. */
  readonly current: TlsFiles
  readonly logger: Logger
  readonly lookMs?: number
}

/** New handshakes use what the files hold from a few seconds after a change. Returns how to stop. */
export function followTlsFiles(
  server: MixerServer,
  { files, current, logger, lookMs = LOOK_MS }: FollowOptions,
): () => void {
  if (!('setSecureContext' in server)) return () => {}
  let inUse = current
  let failing = false
  const look = (): void => {
    try {
      const found = readTlsFiles(files)
      if (sameFiles(found, inUse)) return
      server.setSecureContext(found)
      inUse = found
      failing = false
      logger.info('the certificate of the mixer has changed')
    } catch (error) {
      // In the middle of a change certificate and key may not fit; the next look finds both.
      if (failing)
        logger.error({ err: error }, 'the new certificate cannot be used; the old one is')
      failing = true
    }
  }
  const timer = setInterval(look, lookMs).unref()
  return () => clearInterval(timer)
}

function sameFiles(a: TlsFiles, b: TlsFiles): boolean {
  const ca = a.ca === undefined || b.ca === undefined ? a.ca === b.ca : a.ca.equals(b.ca)
  return ca && a.cert.equals(b.cert) && a.key.equals(b.key)
}
