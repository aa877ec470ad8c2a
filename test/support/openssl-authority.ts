/** Authorities made by OpenSSL's own program: intermediate ones, keys of RSA, revocation lists. In a folder that goes with the test. */
import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { skipWithout } from './program.ts'

/** For the `skip` of tests with these: why they cannot run here, or false. */
export const WITHOUT_OPENSSL: string | false = skipWithout({ openssl: 'openssl' })

export interface IssuedFiles {
  /** PEM; of a certificate below an intermediate authority with that one. */
  readonly cert: string
  readonly key: string
  readonly certPath: string
  readonly keyPath: string
}

const OPENSSL = 'openssl'

const KEYS = {
  ec: ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
  rsa: ['-newkey', 'rsa:2048'],
} as const

export class OpensslAuthority {
  readonly cert: string
  readonly certPath: string
  readonly #keyPath: string
  readonly #folder: string
  /** What a client must show beside its own certificate. */
  readonly #chain: string
  #count = 0

  private constructor(folder: string, name: string, chain: string) {
    this.#folder = folder
    this.certPath = join(folder, `${name}.crt`)
    this.#keyPath = join(folder, `${name}.key`)
    this.cert = readFileSync(this.certPath, 'utf8')
    this.#chain = chain
  }

  static root(t: Test, name = 'root'): OpensslAuthority {
    const folder = mkdtempSync(join(tmpdir(), 'amt-openssl-'))
    t.teardown(() => rmSync(folder, { recursive: true, force: true }))
    const own = ['-keyout', `${name}.key`, '-out', `${name}.crt`, '-days', '30']
    const extensions = [
      'basicConstraints=critical,CA:true',
      'keyUsage=critical,keyCertSign,cRLSign',
    ]
    const added = extensions.flatMap(each => ['-addext', each])
    run(folder, ['req', '-x509', '-nodes', ...KEYS.ec, ...own, '-subj', `/CN=${name}`, ...added])
    return new OpensslAuthority(folder, name, '')
  }

  /** An authority below this one. */
  intermediate(name: string): OpensslAuthority {
    this.#issue(
      name,
      `/CN=${name}`,
      'basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign',
    )
    const chain = readFileSync(join(this.#folder, `${name}.crt`), 'utf8')
    return new OpensslAuthority(this.#folder, name, chain + this.#chain)
  }

  server(names: readonly string[], keys: keyof typeof KEYS = 'ec'): IssuedFiles {
    const alternatives = names.map(name => `DNS:${name}`).join()
    return this.#leaf(`/CN=${names[0]}`, `subjectAltName=${alternatives}`, keys)
  }

  client(subject: string, extensions = 'extendedKeyUsage=clientAuth'): IssuedFiles {
    return this.#leaf(`/CN=${subject}`, extensions, 'ec')
  }

  /** Path of a list with these certificates, which ends `days` from now; DER where that is asked for. */
  revocationList(
    revoked: readonly IssuedFiles[],
    { days = 7, form = 'PEM' }: { readonly days?: number; readonly form?: 'PEM' | 'DER' } = {},
  ): string {
    const at = `${this.certPath}.${this.#count++}`
    const lines = revoked.map(({ cert }) => {
      const { serialNumber } = new X509Certificate(cert)
      return `R\t400101000000Z\t200101000000Z\t${serialNumber}\tunknown\t/CN=revoked\n`
    })
    writeFileSync(`${at}.index`, lines.join(''))
    writeFileSync(`${at}.number`, '01\n')
    writeFileSync(
      `${at}.cnf`,
      `[ca]\ndefault_ca=a\n[a]\ndatabase=${at}.index\ncrlnumber=${at}.number\ndefault_md=sha256\n`,
    )
    const now = Date.now()
    const [from, until] = [timeText(now - 30 * 86_400_000), timeText(now + days * 86_400_000)]
    const times = ['-crl_lastupdate', from, '-crl_nextupdate', until]
    const keys = ['-keyfile', this.#keyPath, '-cert', this.certPath]
    run(this.#folder, [
      'ca',
      '-gencrl',
      '-config',
      `${at}.cnf`,
      ...keys,
      ...times,
      '-out',
      `${at}.crl`,
    ])
    if (form === 'DER')
      run(this.#folder, ['crl', '-in', `${at}.crl`, '-outform', 'DER', '-out', `${at}.crl`])
    return `${at}.crl`
  }

  #leaf(subject: string, extensions: string, keys: keyof typeof KEYS): IssuedFiles {
    const name = `leaf-${subject.replaceAll(/[^a-z0-9]/g, '')}-${this.#count++}`
    this.#issue(name, subject, `basicConstraints=critical,CA:false\n${extensions}`, keys)
    const certPath = join(this.#folder, `${name}.crt`)
    const keyPath = join(this.#folder, `${name}.key`)
    const cert = readFileSync(certPath, 'utf8') + this.#chain
    writeFileSync(certPath, cert)
    return { cert, key: readFileSync(keyPath, 'utf8'), certPath, keyPath }
  }

  #issue(name: string, subject: string, extensions: string, keys: keyof typeof KEYS = 'ec'): void {
    const folder = this.#folder
    writeFileSync(join(folder, `${name}.ext`), `${extensions}\n`)
    const request = ['-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', subject]
    run(folder, ['req', '-new', '-nodes', ...KEYS[keys], ...request])
    const serial = `0x${(BigInt(Date.now()) * 1_000_000n + BigInt(this.#count++)).toString(16)}`
    const signing = ['-CA', this.certPath, '-CAkey', this.#keyPath, '-set_serial', serial]
    const files = ['-in', `${name}.csr`, '-out', `${name}.crt`, '-extfile', `${name}.ext`]
    run(folder, ['x509', '-req', ...files, ...signing, '-days', '30'])
  }
}

function run(folder: string, options: readonly string[]): void {
  execFileSync(OPENSSL, options, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] })
}

/** `YYMMDDHHMMSSZ`. */
function timeText(at: number): string {
  return `${new Date(at).toISOString().replaceAll(/[-:T]/g, '').slice(2, 14)}Z`
}
