/** Paths in the configuration start at the file that names them; once loaded they are absolute. */
import { resolve } from 'node:path'
import { withSocketPath } from './admin-schema.ts'
import type { ExportConfig } from './export-schema.ts'
import type { Config, TenantConfig } from './schema.ts'

/** Makes every path of `config` absolute, but those of its tenants. It changes `config`. */
export function resolvePaths(config: Config, directory: string): void {
  const absolute = (path: string): string => resolve(directory, path)
  for (const { tls } of config.listeners) {
    if (!tls) continue
    for (const certificate of tls.certificates) {
      certificate.cert = absolute(certificate.cert)
      certificate.key = absolute(certificate.key)
    }
    tls.clientCa &&= tls.clientCa.map(absolute)
    tls.crl = tls.crl.map(absolute)
  }
  resolveAuthenticationPaths(config.authentication, absolute)
  for (const source of config.tenantSources) {
    if ('directory' in source) source.directory = absolute(source.directory)
    else source.file = absolute(source.file)
  }
  for (const each of config.exports) resolveExportPaths(each, absolute)
  config.admin.address = withSocketPath(config.admin.address, absolute)
  config.mixer.journal = absolute(config.mixer.journal)
  const { tls, ca } = config.mixer
  if (ca !== undefined) config.mixer.ca = absolute(ca)
  if (tls) {
    tls.cert = absolute(tls.cert)
    tls.key = absolute(tls.key)
    if (tls.clientCa !== undefined) tls.clientCa = absolute(tls.clientCa)
  }
  const { access } = config.log
  if (access !== 'off' && access !== 'stdout') config.log.access = absolute(access)
  const [, database] = /^sqlite:(.+)$/s.exec(config.ledger) ?? []
  // SQLite's own name for a database that is in memory only.
  if (database !== undefined && database !== ':memory:')
    config.ledger = `sqlite:${absolute(database)}`
}

function resolveAuthenticationPaths(
  authentication: Config['authentication'],
  absolute: (path: string) => string,
): void {
  for (const issuer of authentication.jwt) {
    if (!isUrl(issuer.jwks)) issuer.jwks = absolute(issuer.jwks)
  }
  for (const domain of authentication.spiffe?.trustDomains ?? []) {
    if (domain.ca !== undefined) domain.ca = absolute(domain.ca)
    if (domain.jwks !== undefined && !isUrl(domain.jwks)) domain.jwks = absolute(domain.jwks)
  }
}

function resolveExportPaths(each: ExportConfig, absolute: (path: string) => string): void {
  if (each.kind === 'file') each.directory = absolute(each.directory)
  if (each.kind === 'stripe' && each.customersFile !== undefined)
    each.customersFile = absolute(each.customersFile)
}

/** As `resolvePaths`, for one tenant; its paths start at the file that it comes from. */
export function resolveTenantPaths(tenant: TenantConfig, directory: string): void {
  for (const issuer of tenant.jwt) {
    if (!isUrl(issuer.jwks)) issuer.jwks = resolve(directory, issuer.jwks)
  }
  const { tls } = tenant.deployment
  if (!tls) return
  if (tls.ca !== undefined) tls.ca = resolve(directory, tls.ca)
  if (tls.cert !== undefined) tls.cert = resolve(directory, tls.cert)
  if (tls.key !== undefined) tls.key = resolve(directory, tls.key)
}

/** Whether `jwks` is fetched; everything else is a path. */
export function isUrl(text: string): boolean {
  return /^https?:\/\//i.test(text)
}
