/** Which files a certificate becomes, the same for `amt certs` and `amt up`. */
import { join } from 'node:path'
import {
  certificateDigest,
  type IssueOptions,
  issueTenantCertificate,
  type KeyedCertificate,
} from '../runtime/certificates/issue.ts'
import { createPkcs12 } from '../runtime/certificates/pkcs12.ts'
import type { NewFile } from './write-files.ts'

export const AUTHORITY_NAME = 'AMT development CA'
export const LOCAL_NAMES: readonly string[] = ['localhost', '*.localhost']
export const LOCAL_ADDRESSES: readonly string[] = ['127.0.0.1', '::1']
export const DEFAULT_TRUST_DOMAIN = 'example.org'
/** Key stores refuse a file without a password; for a development certificate a known one is enough. */
export const DEFAULT_PKCS12_PASSWORD = 'amt'

export interface TenantSubject {
  readonly dir: string
  readonly tenant: string
  readonly trustDomain: string
  readonly password: string
}

export interface TenantFiles {
  readonly files: readonly NewFile[]
  readonly spiffeId: string
  readonly digest: string
}

/** A new client certificate and the files that it makes in `dir`. */
export async function tenantFiles(
  authority: KeyedCertificate,
  { dir, tenant, trustDomain, password }: TenantSubject,
  options: IssueOptions = {},
): Promise<TenantFiles> {
  const spiffeId = `spiffe://${trustDomain}/tenant/${tenant}`
  const made = await issueTenantCertificate(authority, { tenant, spiffeId }, Date.now(), options)
  const pkcs12 = await createPkcs12(made, { password, name: tenant, authority: authority.cert })
  return {
    files: [
      ...keyedFiles(dir, tenant, made),
      { path: join(dir, `${tenant}.p12`), content: pkcs12, secret: true },
    ],
    spiffeId,
    digest: certificateDigest(made.cert),
  }
}

/** The key comes first: whoever finds the certificate finds its key too. */
export function keyedFiles(dir: string, name: string, made: KeyedCertificate): NewFile[] {
  return [
    { path: join(dir, `${name}.key`), content: made.key, secret: true },
    { path: join(dir, `${name}.crt`), content: made.cert, secret: false },
  ]
}
