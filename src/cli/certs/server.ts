import { isIP } from 'node:net'
import { type Command, Option } from 'commander'
import { issueServerCertificate, LEAF_DAYS } from '../../runtime/certificates/issue.ts'
import { keyedFiles, LOCAL_ADDRESSES, LOCAL_NAMES } from '../certificate-files.ts'
import {
  checked,
  type IssuingOptions,
  issuingCommand,
  readAuthority,
  report,
  writeOrRefuse,
  yamlPath,
} from './options.ts'

type Check = (text: string) => boolean

const HOST_PATTERN = /^(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/
const isHostName: Check = text => text.length <= 253 && HOST_PATTERN.test(text)
const isAddress: Check = text => isIP(text) !== 0

type ServerOptions = IssuingOptions & { readonly name: string[]; readonly ip: string[] }

/** `amt certs server`: for a listener. */
export function serverCommand(): Command {
  return issuingCommand('server', 'make a server certificate: server.crt and server.key', LEAF_DAYS)
    .addOption(
      listOption('--name <name>', 'a host name, `*.` may stand first', LOCAL_NAMES, isHostName),
    )
    .addOption(listOption('--ip <address>', 'an IP address', LOCAL_ADDRESSES, isAddress))
    .addHelpText(
      'after',
      '\nExample:\n  amt certs server --name orders.example.com --ip 10.0.0.1\n',
    )
    .action(async (options: ServerOptions, command: Command) => {
      const { dir, force } = options
      const authority = await readAuthority(dir, command)
      // What was named replaces the defaults of both: a certificate for a public name should not hold for localhost too.
      const named = command.getOptionValueSource('name') !== 'default'
      const addressed = command.getOptionValueSource('ip') !== 'default'
      const names = addressed && !named ? [] : options.name
      const addresses = named && !addressed ? [] : options.ip
      const subject = { names, addresses }
      const made = await issueServerCertificate(authority, subject, Date.now(), options)
      const files = keyedFiles(dir, 'server', made)
      await writeOrRefuse(files, force, command)
      report(
        files,
        `For ${[...names, ...addresses].join(', ')}.
Under \`tls:\` of a listener in the configuration:
  certificates: [ { cert: ${yamlPath(dir, 'server.crt')}, key: ${yamlPath(dir, 'server.key')} } ]`,
      )
    })
}

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
