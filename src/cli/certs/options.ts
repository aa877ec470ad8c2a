/** What the commands under `amt certs` have in common: options, the authority, and what is printed in the end. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Command, InvalidArgumentError, Option } from 'commander'
import type { KeyedCertificate } from '../../runtime/certificates/issue.ts'
import { KEY_TYPES, type KeyType } from '../../runtime/certificates/key-types.ts'
import { findExisting, type NewFile, writeFiles } from '../write-files.ts'

const MAX_DAYS = 36_500
/** Text that YAML takes as it is, also between braces. */
const PLAIN_YAML = /^[A-Za-z0-9_./][A-Za-z0-9_./-]*$/

export interface CommonOptions {
  readonly dir: string
  readonly force?: true
}

export interface IssuingOptions extends CommonOptions {
  readonly days: number
  readonly keyType: KeyType
}

export function leafCommand(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .option('--dir <directory>', 'directory of the certificates', 'certs')
}

/** A command that makes a key and a certificate. */
export function issuingCommand(name: string, description: string, days: number): Command {
  return leafCommand(name, description)
    .addOption(daysOption('how long it is good', days))
    .addOption(
      new Option('--key-type <type>', 'of the new key; rsa is for clients that know nothing else')
        .choices(KEY_TYPES)
        .default('ec'),
    )
    .option('--force', 'overwrite what is there')
}

export function daysOption(what: string, days: number): Option {
  return new Option('--days <number>', `${what}, in days`)
    .default(days)
    .argParser((text: string) => {
      const number = /^\d{1,5}$/.test(text) ? Number(text) : 0
      return checked(number, number >= 1 && number <= MAX_DAYS, `a number from 1 to ${MAX_DAYS}`)
    })
}

export function checked<T>(value: T, valid: boolean, what: string): T {
  if (!valid) throw new InvalidArgumentError(`It must be ${what}.`)
  return value
}

/** The authority in `dir`; one that cannot issue ends the command as well. */
export async function readAuthority(dir: string, command: Command): Promise<KeyedCertificate> {
  try {
    const [cert, key] = await Promise.all([
      readFile(join(dir, 'ca.crt'), 'utf8'),
      readFile(join(dir, 'ca.key'), 'utf8'),
    ])
    checkAuthority(cert, key)
    return { cert, key }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    command.error(
      `error: no authority in ${dir}: ${reason}\n\`amt certs init --dir ${dir}\` makes one`,
    )
  }
}

/** Throws an `Error` where these do not make an authority. */
function checkAuthority(cert: string, key: string): void {
  const certificate = new X509Certificate(cert)
  if (!certificate.ca) throw new Error('ca.crt is not the certificate of an authority')
  if (!certificate.checkPrivateKey(createPrivateKey(key)))
    throw new Error('ca.key is not the key of ca.crt')
}

export async function writeOrRefuse(
  files: readonly NewFile[],
  force: true | undefined,
  command: Command,
): Promise<void> {
  const existing = force ? undefined : findExisting(files.map(file => file.path))
  if (existing !== undefined)
    command.error(`error: ${existing} is there already; --force overwrites it`)
  await writeFiles(files, force === true)
}

export function report(files: readonly NewFile[], next: string): void {
  const made = files.map(file => `${file.path}${file.secret ? ' (secret)' : ''}`).join(', ')
  process.stdout.write(`Made ${made}.\n\n${next}\n`)
}

/** A path as it can be pasted into the configuration, where it counts from the configuration's own folder. */
export function yamlPath(...parts: readonly string[]): string {
  const path = join(...parts)
  return PLAIN_YAML.test(path) ? path : JSON.stringify(path)
}
