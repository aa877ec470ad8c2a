/** Certificates for one test, in a folder of its own that goes with it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import {
  createAuthority,
  issueServerCertificate,
  issueTenantCertificate,
  type KeyedCertificate,
} from '../../src/runtime/certificates/issue.ts'

export interface CertificateFiles extends KeyedCertificate {
  readonly certPath: string
  readonly keyPath: string
}

export class TestAuthority {
  readonly cert: string
  readonly certPath: string
  readonly #pair: KeyedCertificate
  readonly #folder: string
  #count = 0

  constructor(t: Test) {
    this.#folder = mkdtempSync(join(tmpdir(), 'amt-test-'))
    t.teardown(() => rmSync(this.#folder, { recursive: true, force: true }))
    this.#pair = createAuthority('test authority', Date.now())
    this.cert = this.#pair.cert
    this.certPath = this.#write(this.#pair).certPath
  }

  server(names: readonly string[], addresses: readonly string[] = []): CertificateFiles {
    return this.#write(issueServerCertificate(this.#pair, { names, addresses }, Date.now()))
  }

  tenant(tenant: string): CertificateFiles {
    const spiffeId = `spiffe://example.org/tenant/${tenant}`
    return this.#write(issueTenantCertificate(this.#pair, { tenant, spiffeId }, Date.now()))
  }

  #write(pair: KeyedCertificate): CertificateFiles {
    const name = join(this.#folder, String(this.#count++))
    const files = { ...pair, certPath: `${name}.crt`, keyPath: `${name}.key` }
    writeFileSync(files.certPath, pair.cert)
    writeFileSync(files.keyPath, pair.key, { mode: 0o600 })
    return files
  }
}
