/** The effective configuration as it may be shown on the admin server. */
import type { ExportConfig } from './export-schema.ts'
import type { Config } from './schema.ts'

export const REDACTED = '[redacted]'

/** A copy of `config` without secrets. Digests of keys and certificates stay: they open nothing. */
export function redactConfig(config: Config): Config {
  return {
    ...config,
    mixer: { ...config.mixer, url: redactUrl(config.mixer.url), token: REDACTED },
    admin: {
      ...config.admin,
      ...(config.admin.token === undefined ? {} : { token: REDACTED }),
    },
    ...(config.tracing === undefined ? {} : { tracing: redactTracing(config.tracing) }),
    ledger: redactUrl(config.ledger),
    exports: config.exports.map(redactExport),
    authentication: {
      ...config.authentication,
      jwt: config.authentication.jwt.map(redactIssuer),
    },
    tenants: config.tenants.map(tenant =>
      tenant.jwt.length === 0 ? tenant : { ...tenant, jwt: tenant.jwt.map(redactIssuer) },
    ),
  }
}

function redactIssuer<T extends { readonly jwks: string }>(issuer: T): T {
  return { ...issuer, jwks: redactUrl(issuer.jwks) }
}

function redactExport(each: ExportConfig): ExportConfig {
  if (each.kind === 'stripe') return { ...each, url: redactUrl(each.url), apiKey: REDACTED }
  if (each.kind !== 'cloudevents') return each
  return {
    ...each,
    url: redactUrl(each.url),
    ...(each.token === undefined ? {} : { token: REDACTED }),
    headers: redactHeaders(each.headers),
  }
}

function redactTracing(tracing: NonNullable<Config['tracing']>): Config['tracing'] {
  return { ...tracing, otlp: redactUrl(tracing.otlp), headers: redactHeaders(tracing.headers) }
}

/** Any of them may be a key; which ones are is not for us to guess. */
function redactHeaders(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.keys(headers).map(name => [name, REDACTED]))
}

/** Hides the password of `scheme://user:password@host` and a `password=` among its parameters. */
export function redactUrl(text: string): string {
  return text
    .replace(/^([a-z][a-z0-9+.-]*:\/\/[^:@/?#]*):.*@/i, `$1:${REDACTED}@`)
    .replace(/([?&]password=)[^&#]*/gi, `$1${REDACTED}`)
}
