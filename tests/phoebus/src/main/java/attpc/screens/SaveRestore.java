package attpc.screens;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.phoebus.applications.saveandrestore.filehandler.csv.CSVCommon;
import org.phoebus.applications.saveandrestore.filehandler.csv.CSVParser;
import org.phoebus.applications.saveandrestore.model.ConfigPv;
import org.phoebus.applications.saveandrestore.model.ConfigurationData;

/**
 * A configuration for save-and-restore, imported as its window does it and sent as JSON, as to its service: PV, read-back
 * and whether it is only saved.
 */
final class SaveRestore implements FileReader {
    @Override
    public List<String> read(final File file) throws Exception {
        final List<ConfigPv> entries = new ArrayList<>();
        for (final Map<String, String> entry : CSVParser.parse(file).getEntries()) {
            entries.add(ConfigPv.builder()
                    .pvName(entry.get(CSVCommon.H_PV_NAME))
                    .readbackPvName(entry.get(CSVCommon.H_READBACK))
                    .readOnly(Boolean.parseBoolean(entry.get(CSVCommon.H_READ_ONLY)))
                    .build());
        }
        final ConfigurationData configuration = new ConfigurationData();
        configuration.setPvList(entries);
        final ObjectMapper json = new ObjectMapper();
        final ConfigurationData received =
                json.readValue(json.writeValueAsString(configuration), ConfigurationData.class);
        return received.getPvList().stream()
                .map(pv -> String.join("\t", pv.getPvName(), pv.getReadbackPvName(), String.valueOf(pv.isReadOnly())))
                .toList();
    }
}
