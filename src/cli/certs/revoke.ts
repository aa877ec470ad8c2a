import { X509Certificate } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from 'commander'
import type { KeyedCertificate } from '../../runtime/certificates/issue.ts'
import {
  createRevocationList,
  type RevocationList,
  readRevocationList,
} from '../../runtime/certificates/revocation.ts'
import { writeFiles } from '../write-files.ts'
import { daysOption, leafCommand, readAuthority, report, yamlPath } from './options.ts'

const LIST_DAYS = 30

interface RevokeOptions {
  readonly dir: string
  readonly days: number
}

/** `amt certs revoke`: adds to the authority's list, which is kept in ca.crl alone; without files it only renews the list. */
export function revokeCommand(): Command {
  return leafCommand('revoke', 'revoke certificates: adds them to the list ca.crl, and renews it')
    .argument('[certificate...]', 'files of certificates that are to be refused from now on')
    .addOption(daysOption('how long the list is good', LIST_DAYS))
    .addHelpText(
      'after',
      `
A listener that has a list refuses everybody once it is too old: renew it in time, \`amt certs revoke\` without a file does.

Example:
  amt certs revoke certs/acme.crt
`,
    )
    .action(async (paths: readonly string[], { dir, days }: RevokeOptions, command: Command) => {
      const authority = await readAuthority(dir, command)
      const path = join(dir, 'ca.crl')
      const former = await readFormer(path, authority, command)
      const revoked = new Map(former.revoked)
      for (const each of paths) {
        const serial = await serialOf(each, authority, command)
        // The first time counts: since then nobody should have trusted it.
        if (!revoked.has(serial)) revoked.set(serial, Date.now())
      }
      const list = { number: former.number + 1, revoked }
      const content = await createRevocationList(authority, list, { now: Date.now(), days })
      const files = [{ path, content, secret: false }]
      await writeFiles(files, true)
      report(
        files,
        `It has ${revoked.size === 1 ? 'one certificate' : `${revoked.size} certificates`}, and is good for ${days} days.
Under \`tls:\` of a listener in the configuration:
  crl: [ ${yamlPath(dir, 'ca.crl')} ]`,
      )
    })
}

async function readFormer(
  path: string,
  { cert }: KeyedCertificate,
  command: Command,
): Promise<RevocationList> {
  if (!existsSync(path)) return { number: 0, revoked: new Map() }
  try {
    return await readRevocationList(await readFile(path, 'utf8'), cert)
  } catch (error) {
    command.error(`error: ${path} cannot be added to: ${messageOf(error)}`)
  }
}

async function serialOf(
  path: string,
  authority: KeyedCertificate,
  command: Command,
): Promise<string> {
  const issuer = new X509Certificate(authority.cert)
  const certificate = await readCertificate(path, command)
  if (certificate.fingerprint256 === issuer.fingerprint256)
    command.error(`error: ${path} is the authority itself; take it out of clientCa instead`)
  if (!certificate.verify(issuer.publicKey))
    command.error(`error: ${path} was not issued by this authority`)
  return certificate.serialNumber
}

async function readCertificate(path: string, command: Command): Promise<X509Certificate> {
  try {
    return new X509Certificate(await readFile(path))
  } catch (error) {
    command.error(`error: ${path} cannot be read as a certificate: ${messageOf(error)}`)
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
