/** TLS towards a deployment: the files that its configuration names, and whether they are still those that were read. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createSecureContext, type ConnectionOptions as TlsOptions } from 'node:tls'
import { fileStamp } from '../../config/file-stamp.ts'
import type { DeploymentConfig } from '../../config/schema.ts'
import { sameConfig } from '../../core/same-config.ts'

export interface UpstreamTls {
  readonly options: TlsOptions
  /** Of what was in the files. */
  readonly digest: string
  /** Of the files themselves, when they were last looked at; undefined: to be read again. */
  stamps: string | undefined
}

/** Whether connections are made with the same files. */
export function sameTls(one: DeploymentConfig, other: DeploymentConfig): boolean {
  return wantsTls(one) === wantsTls(other) && sameConfig(one.tls, other.tls)
}

/**
 * Undefined where no endpoint wants it. Files were checked when the configuration was loaded; one that has gone since fails
 * the handshake, not the worker.
 */
export function upstreamTls(deployment: DeploymentConfig): UpstreamTls | undefined {
  if (!wantsTls(deployment)) return undefined
  const read = readFiles(deployment)
  if (read !== undefined) return read
  // Trusts nobody: every handshake ends as `upstream_tls`.
  const secureContext = createSecureContext({ ca: [] })
  return { options: { secureContext, ...checks(deployment) }, digest: '', stamps: undefined }
}

/** What is in the files now; undefined where that is what was read, or cannot be used: then they are still being written. */
export function changedTls(
  deployment: DeploymentConfig,
  former: UpstreamTls,
): UpstreamTls | undefined {
  const stamps = stampsOf(deployment)
  if (stamps !== undefined && stamps === former.stamps) return undefined
  const read = readFiles(deployment)
  if (read === undefined) return undefined
  former.stamps = read.stamps
  return read.digest === former.digest ? undefined : read
}

function wantsTls({ endpoints }: DeploymentConfig): boolean {
  return endpoints.some(url => /^(https|h2|tls):/.test(url))
}

function stampsOf({ tls = {} }: DeploymentConfig): string | undefined {
  const files = [tls.ca, tls.cert, tls.key].filter(file => file !== undefined)
  const stamps = files.map(fileStamp)
  return stamps.includes(undefined) ? undefined : stamps.join(' ')
}

/** Undefined where they cannot be used. */
function readFiles(deployment: DeploymentConfig): UpstreamTls | undefined {
  const stamps = stampsOf(deployment)
  const { ca, cert, key } = deployment.tls ?? {}
  const hash = createHash('sha256')
  const take = (file: string): Buffer => {
    const bytes = readFileSync(file)
    hash.update(`${bytes.length} `).update(bytes)
    return bytes
  }
  try {
    const secureContext = createSecureContext({
      minVersion: 'TLSv1.2',
      ...(ca === undefined ? {} : { ca: take(ca) }),
      ...(cert === undefined ? {} : { cert: take(cert) }),
      ...(key === undefined ? {} : { key: take(key) }),
    })
    const options = { secureContext, ...checks(deployment) }
    return { options, digest: hash.digest('hex'), stamps }
  } catch {
    return undefined
  }
}

function checks({ tls: { serverName } = {} }: DeploymentConfig): TlsOptions {
  const name = serverName === undefined ? {} : { servername: serverName }
  return { rejectUnauthorized: true, ...name }
}
