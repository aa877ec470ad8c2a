/** `amt certs`: a development authority and its certificates, so that trying out mTLS takes three commands. */

import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { Command, InvalidArgumentError, Option } from 'commander'
import {
  createAuthority,
  issueServerCertificate,
  type KeyedCertificate,
} from '../../runtime/certificates/issue.ts'
import {
  AUTHORITY_NAME,
  DEFAULT_PKCS12_PASSWORD,
  DEFAULT_TRUST_DOMAIN,
  keyedFiles,
  LOCAL_ADDRESSES,
  LOCAL_NAMES,
  type TenantSubject,
  tenantFiles,
} from '../certificate-files.ts'
import { tenantOption } from '../options.ts'
import { findExisting, type NewFile, writeFiles } from '../write-files.ts'

const HOST_PATTERN = /^(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/
const isHostName: Check = text => text.length <= 253 && HOST_PATTERN.test(text)
const isAddress: Check = text => isIP(text) !== 0
const TRUST_DOMAIN_PATTERN = /^[a-z0-9._-]{1,255}$/

interface CommonOptions {
  readonly dir: string
  readonly force?: true
}

export function certsCommand(): Command {
  return new Command('certs')
    .description('make certificates for development')
    .addHelpText(
      'after',
      '\nExample:\n  amt certs init && amt certs server && amt certs tenant --tenant acme\n',
    )
    .addCommand(initCommand())
    .addCommand(serverCommand())
    .addCommand(tenantCommand())
}

function initCommand(): Command {
  return leafCommand('init', 'make a certificate authority: ca.crt and ca.key')
    .option('--name <name>', 'its name', AUTHORITY_NAME)
    .addHelpText('after', '\nExample:\n  amt certs init --dir certs\n')
    .action(async ({ dir, force, name }: CommonOptions & { name: string }, command: Command) => {
      const authority = await createAuthority(name, Date.now())
      const files = keyedFiles(dir, 'ca', authority)
      await writeOrRefuse(files, force, command)
      report(
        files,
        `Under \`tls:\` of a listener in the configuration:
  clientCertificate: optional
  clientCa: ${join(dir, 'ca.crt')}

Keep ca.key off every machine that does not issue certificates.`,
      )
    })
}

function serverCommand(): Command {
  return leafCommand('server', 'make a server certificate: server.crt and server.key')
    .addOption(
      listOption('--name <name>', 'a host name, `*.` may stand first', LOCAL_NAMES, isHostName),
    )
    .addOption(listOption('--ip <address>', 'an IP address', LOCAL_ADDRESSES, isAddress))
    .addHelpText(
      'after',
      '\nExample:\n  amt certs server --name orders.example.com --ip 10.0.0.1\n',
    )
    .action(async (options: CommonOptions & { name: string[]; ip: string[] }, command: Command) => {
      const { dir, force } = options
      const authority = await readAuthority(dir, command)
      // What was named replaces the defaults of both: a certificate for a public name should not hold for localhost too.
      const named = command.getOptionValueSource('name') !== 'default'
      const addressed = command.getOptionValueSource('ip') !== 'default'
      const names = addressed && !named ? [] : options.name
      const addresses = named && !addressed ? [] : options.ip
      const files = keyedFiles(
        dir,
        'server',
        await issueServerCertificate(authority, { names, addresses }, Date.now()),
      )
      await writeOrRefuse(files, force, command)
      report(
        files,
        `For ${[...names, ...addresses].join(', ')}.
Under \`tls:\` of a listener in the configuration:
  certificates: [ { cert: ${join(dir, 'server.crt')}, key: ${join(dir, 'server.key')} } ]`,
      )
    })
}

type TenantOptions = CommonOptions & TenantSubject

function tenantCommand(): Command {
  return leafCommand('tenant', 'make the client certificate of a tenant: ID.crt, ID.key and ID.p12')
    .addOption(tenantOption().makeOptionMandatory())
    .addOption(
      new Option('--trust-domain <name>', 'trust domain of its SPIFFE id')
        .default(DEFAULT_TRUST_DOMAIN)
        .argParser((text: string) =>
          checked(text, TRUST_DOMAIN_PATTERN.test(text), 'a trust domain such as example.org'),
        ),
    )
    .addOption(
      new Option('--password <password>', 'password of the PKCS#12 file')
        .default(DEFAULT_PKCS12_PASSWORD)
        .argParser((text: string) => checked(text, text !== '', 'a password')),
    )
    .addHelpText(
      'after',
      '\nExample:\n  amt certs tenant --tenant acme --trust-domain example.org\n',
    )
    .action(async (options: TenantOptions, command: Command) => {
      const authority = await readAuthority(options.dir, command)
      const { tenant, dir } = options
      const made = await tenantFiles(authority, options)
      await writeOrRefuse(made.files, options.force, command)
      report(
        made.files,
        `Under \`credentials:\` of tenant ${tenant} in the configuration, one of:
  - spiffe: ${made.spiffeId}
  - certificate: ${made.digest}
and once, for the first one:
  authentication: { spiffe: { trustDomain: ${options.trustDomain} } }

${join(dir, `${tenant}.p12`)} has the same for browsers and key stores; its password is "${options.password}".`,
      )
    })
}

type Check = (text: string) => boolean

/** An option that may come several times; the first one replaces the defaults. */
function listOption(
  flags: string,
  what: string,
  defaults: readonly string[],
  check: Check,
): Option {
  const option = new Option(flags, `${what}; may be given several times`).default(defaults)
  return option.argParser((text: string, before: readonly string[]) => {
    const value = checked(text, check(text), what)
    return before === defaults ? [value] : [...before, value]
  })
}

function checked(text: string, valid: boolean, what: string): string {
  if (!valid) throw new InvalidArgumentError(`It must be ${what}.`)
  return text
}

function leafCommand(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .option('--dir <directory>', 'directory of the certificates', 'certs')
    .option('--force', 'overwrite what is there')
}

async function readAuthority(dir: string, command: Command): Promise<KeyedCertificate> {
  try {
    const [cert, key] = await Promise.all([
      readFile(join(dir, 'ca.crt'), 'utf8'),
      readFile(join(dir, 'ca.key'), 'utf8'),
    ])
    return { cert, key }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    command.error(
      `error: no authority in ${dir}: ${reason}\n\`amt certs init --dir ${dir}\` makes one`,
    )
  }
}

async function writeOrRefuse(
  files: readonly NewFile[],
  force: true | undefined,
  command: Command,
): Promise<void> {
  const existing = force ? undefined : findExisting(files.map(file => file.path))
  if (existing !== undefined)
    command.error(`error: ${existing} is there already; --force overwrites it`)
  await writeFiles(files, force === true)
}

function report(files: readonly NewFile[], next: string): void {
  const made = files.map(file => `${file.path}${file.secret ? ' (secret)' : ''}`).join(', ')
  process.stdout.write(`Made ${made}.\n\n${next}\n`)
}
