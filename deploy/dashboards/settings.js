// How `deploy/dashboards/node-red` runs Node-RED: on this machine only, without its editor unless EDITOR_PAGE is set.
const { EDITOR_PAGE, PORT } = process.env

module.exports = {
  flowFile: 'flows.json',
  uiHost: '127.0.0.1',
  uiPort: Number(PORT || 1880),
  // The editor runs any code: it is for looking at the flow, on one's own machine.
  httpAdminRoot: EDITOR_PAGE ? '/editor' : false,
  credentialSecret: false,
  // Pictures and events outlive a restart of Node-RED.
  contextStorage: { default: { module: 'memory' }, disk: { module: 'localfilesystem' } },
  externalModules: { autoInstall: false, palette: { allowInstall: false, allowUpload: false } },
  functionExternalModules: false,
  telemetry: { enabled: false, updateNotification: false },
  diagnostics: { enabled: false },
  editorTheme: { tours: false },
  logging: { console: { level: 'info', metrics: false, audit: false } }
}
