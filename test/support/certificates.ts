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

  private constructor(pair: KeyedCertificate, folder: string) {
    this.#folder = folder
    this.#pair = pair
    this.cert = pair.cert
    this.certPath = this.#write(pair).certPath
  }

  static async create(t: Test): Promise<TestAuthority> {
    const folder = mkdtempSync(join(tmpdir(), 'amt-test-'))
    t.teardown(() => rmSync(folder, { recursive: true, force: true }))
    return new TestAuthority(await createAuthority('test authority', Date.now()), folder)
  }

  async server(
    names: readonly string[],
    addresses: readonly string[] = [],
  ): Promise<CertificateFiles> {
    return this.#write(await issueServerCertificate(this.#pair, { names, addresses }, Date.now()))
  }

  /** As it would have been issued at `now`: good for a year from then. */
  async tenant(tenant: string, now = Date.now()): Promise<CertificateFiles> {
    const spiffeId = `spiffe://example.org/tenant/${tenant}`
    return this.#write(await issueTenantCertificate(this.#pair, { tenant, spiffeId }, now))
  }

  #write(pair: KeyedCertificate): CertificateFiles {
    const name = join(this.#folder, String(this.#count++))
    const files = { ...pair, certPath: `${name}.crt`, keyPath: `${name}.key` }
    writeFileSync(files.certPath, pair.cert)
    writeFileSync(files.keyPath, pair.key, { mode: 0o600 })
    return files
  }
}
